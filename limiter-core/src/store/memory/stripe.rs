//! A stripe: up to 64 counters under one lock, and what was displaced.

use smallvec::SmallVec;

use crate::{
    algorithm::{Inherited, Level, State},
    decide::Levels,
    quota::{Quota, Quotas},
    time::Timestamp,
};

type States = SmallVec<[Option<State>; 1]>;

/// What tells a counter from others in its stripe: a keyed hash of the key,
/// mixed with the scope (of a policy, or of strikes).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Id {
    tag: u64,
    scope: u64,
}

impl Id {
    pub(super) const fn new(hash: u64, scope: u64) -> Self {
        // The hash is secret, so a client cannot choose keys whose difference
        // is that of two scopes.
        Self { tag: hash ^ scope, scope }
    }
}

#[derive(Debug, Default)]
pub(super) struct Stripe {
    room: usize,
    /// Apart from the slots, so that a search touches few cache lines.
    tags: Vec<u64>,
    slots: Vec<Slot>,
    /// The most that displaced keys had used, a scope each.
    displaced: Vec<(u64, Counter)>,
}

/// Of a policy's counter, or of strikes.
#[derive(Debug)]
struct Slot {
    scope: u64,
    /// Whether a newcomer inherits what this key has used when it displaces
    /// it. Strikes are not inherited: nobody is banned for another's failures.
    inherited: bool,
    counter: Counter,
}

#[derive(Debug)]
struct Counter {
    quotas: Quotas,
    states: States,
    /// Taken over when this was new, one a quota; mostly there is none.
    inherited: Option<Box<[Option<Inherited>]>>,
    expires: Timestamp,
}

impl Counter {
    fn new(quotas: &Quotas, levels: &[Level], now: Timestamp) -> Self {
        let reset = levels.iter().map(Level::reset_after).max().unwrap_or(0);
        Self {
            quotas: quotas.clone(),
            states: levels.iter().map(Level::state).collect(),
            inherited: inherited(levels),
            expires: now.after_micros(reset),
        }
    }

    /// As [`new`](Self::new), in place. The policy's quotas are not cloned for
    /// it: their reference count is shared by all threads.
    fn update(&mut self, quotas: &Quotas, levels: &[Level], now: Timestamp) {
        if !self.quotas.is(quotas) {
            *self = Self::new(quotas, levels, now);
            return;
        }
        let mut longest = 0;
        for (state, level) in self.states.iter_mut().zip(levels) {
            *state = level.state();
            longest = longest.max(level.reset_after());
        }
        self.expires = now.after_micros(longest);
    }

    fn levels(&self, quotas: &[Quota], now: Timestamp) -> Levels {
        let states = self.states.iter().copied().chain(std::iter::repeat(None));
        let levels = quotas.iter().zip(states).map(|(quota, state)| Level::at(*quota, state, now));
        match &self.inherited {
            None => levels.collect(),
            Some(inherited) => {
                let inherited = inherited.iter().copied().chain(std::iter::repeat(None));
                levels.zip(inherited).map(|(level, kept)| level.inheriting(kept)).collect()
            }
        }
    }

    /// The fullest of its quotas, 0 to 1,000,000.
    fn fill(&self, now: Timestamp) -> u32 {
        self.levels(&self.quotas, now).iter().map(Level::fill).max().unwrap_or(0)
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

fn inherited(levels: &[Level]) -> Option<Box<[Option<Inherited>]>> {
    let any = levels.iter().any(|level| level.inherited().is_some());
    any.then(|| levels.iter().map(Level::inherited).collect())
}

impl Stripe {
    pub(super) fn new(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// What the key has used; of a newcomer, what it inherits.
    pub(super) fn levels(&self, id: Id, quotas: &Quotas, now: Timestamp) -> Levels {
        if let Some(at) = self.find(id) {
            return self.slots[at].counter.levels(quotas, now);
        }
        match self.inheritance(id) {
            Some(counter) => counter.levels(quotas, now),
            None => quotas.iter().map(|quota| Level::at(*quota, None, now)).collect(),
        }
    }

    pub(super) fn write(&mut self, id: Id, quotas: &Quotas, levels: &[Level], now: Timestamp) {
        match self.find(id) {
            Some(at) => self.slots[at].counter.update(quotas, levels, now),
            None => {
                let counter = Counter::new(quotas, levels, now);
                self.add(id, Slot { scope: id.scope, inherited: true, counter }, now);
            }
        }
    }

    pub(super) fn strikes(&self, id: Id) -> Option<State> {
        self.find(id).and_then(|at| self.slots[at].counter.states[0])
    }

    pub(super) fn write_strikes(&mut self, id: Id, strikes: Level, now: Timestamp) {
        if strikes.state().is_none() {
            return self.remove(id);
        }
        let counter = Counter::new(&Quotas::from(*strikes.quota()), &[strikes], now);
        let slot = Slot { scope: id.scope, inherited: false, counter };
        match self.find(id) {
            Some(at) => self.slots[at] = slot,
            None => self.add(id, slot, now),
        }
    }

    pub(super) fn remove(&mut self, id: Id) {
        if let Some(at) = self.find(id) {
            self.tags.swap_remove(at);
            self.slots.swap_remove(at);
        }
    }

    fn find(&self, id: Id) -> Option<usize> {
        let same = |at: &usize| self.tags[*at] == id.tag && self.slots[*at].scope == id.scope;
        (0..self.tags.len()).find(same)
    }

    fn inheritance(&self, id: Id) -> Option<&Counter> {
        self.displaced.iter().find(|(scope, _)| *scope == id.scope).map(|(_, counter)| counter)
    }

    fn add(&mut self, id: Id, slot: Slot, now: Timestamp) {
        if self.slots.len() < self.room {
            self.tags.push(id.tag);
            self.slots.push(slot);
        } else {
            let at = self.make_room(now);
            self.tags[at] = id.tag;
            self.slots[at] = slot;
        }
    }

    /// A slot that may be overwritten: an expired one, else the least
    /// indebted, whose debt newcomers inherit from now on.
    fn make_room(&mut self, now: Timestamp) -> usize {
        let slots = self.slots.iter().enumerate();
        let (at, _) = slots
            .map(|(at, slot)| match slot.counter.is_expired(now) {
                true => (at, None),
                false => (at, Some(slot.counter.fill(now))),
            })
            .min_by_key(|(_, fill)| *fill)
            .expect("a stripe has room for a slot at least");
        if self.slots[at].inherited && !self.slots[at].counter.is_expired(now) {
            self.remember(at, now);
        }
        at
    }

    /// Merges a slot's debt into what newcomers of its scope inherit.
    fn remember(&mut self, at: usize, now: Timestamp) {
        self.displaced.retain(|(_, counter)| !counter.is_expired(now));
        let Slot { scope, counter, .. } = &self.slots[at];
        let quotas = &counter.quotas;
        let known = self.displaced.iter_mut().find(|(known, _)| known == scope);
        let levels = counter.levels(quotas, now);
        let mut levels: Levels = levels.into_iter().map(Level::left_behind).collect();
        match known {
            None => self.displaced.push((*scope, Counter::new(quotas, &levels, now))),
            Some((_, most)) => {
                for (level, known) in levels.iter_mut().zip(most.levels(quotas, now)) {
                    *level = level.merge(known);
                }
                *most = Counter::new(quotas, &levels, now);
            }
        }
    }
}

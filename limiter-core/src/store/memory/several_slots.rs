//! Checks of several quotas without a lock, whose slots are all there.
//!
//! All slots are read, then the clock; the words decide; and the charges are written at
//! once, unless a slot has changed since: see [`write_charges`]. A refusal writes nothing.
//! As in `one_bucket`, the decision is made of numbers in the end, where it stays.

use std::mem;

use smallvec::SmallVec;

use super::{
    MemoryStore, Shared,
    fast_path::Declined,
    slot::{Slot, SlotCharge, Tag, write_charges},
    table::{Location, Segment},
};
use crate::{
    algorithm::{Grains, Wait, Window, Windows, WordCheck, WordEncoding, WordUsage},
    check::{Check, Item},
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    key::Key,
    policy::Counter,
    quota::Algorithm,
    short_list::ShortList,
    time::Timestamp,
};

/// A counter of a check.
struct Counted<'a> {
    at: QuotaPosition,
    encoding: &'a WordEncoding,
    slot: SlotCharge<'a>,
    is_near_limit: bool,
    /// True if it is the last one of its policy.
    is_last: bool,
}

/// A check of several quotas, and how it is decided.
pub(crate) struct SlotsCheck<'a> {
    store: &'a Shared,
    counters: SmallVec<[Counted<'a>; 8]>,
    now: Timestamp,
    /// True if there are bans among which one may be of a key of the check.
    may_be_banned: bool,
    ban: Option<PolicyBan>,
    passes: bool,
    /// True if all quotas are by `gcra`.
    is_gcra: bool,
}

impl Counted<'_> {
    /// Decides by the word of the slot. Returns true if the quota, by that algorithm, does not
    /// refuse the check.
    #[inline]
    fn check<U: WordUsage>(
        &mut self,
        cost: u64,
        now: Timestamp,
        origin: Timestamp,
    ) -> Result<bool, Declined> {
        let word = self.slot.read.payload();
        let checked = U::check(self.encoding, Some(word), cost, now, origin);
        let WordCheck { after, wait, charged, .. } = checked.ok_or(Declined)?;
        self.is_near_limit = after.is_near_limit(self.encoding, now);
        self.slot.payload = charged.unwrap_or(word);
        Ok(wait == Wait::None)
    }

    /// The same by another algorithm than `gcra`. Out of line, since it takes more registers.
    #[inline(never)]
    fn check_window(
        &mut self,
        cost: u64,
        now: Timestamp,
        origin: Timestamp,
    ) -> Result<bool, Declined> {
        match self.encoding.quota().algorithm() {
            Algorithm::Gcra => self.check::<Grains>(cost, now, origin),
            Algorithm::FixedWindow => self.check::<Window>(cost, now, origin),
            Algorithm::SlidingWindow => self.check::<Windows>(cost, now, origin),
            Algorithm::StrictWindow => Err(Declined),
        }
    }
}

/// How often a check is decided, if others come in between, before it takes the locks.
const ATTEMPTS: usize = 3;

impl MemoryStore {
    /// Returns a check that is not yet decided.
    #[inline]
    pub(crate) fn slots_check(&self) -> SlotsCheck<'_> {
        SlotsCheck {
            store: &self.0,
            counters: SmallVec::new(),
            now: Timestamp::default(),
            may_be_banned: false,
            ban: None,
            passes: false,
            is_gcra: false,
        }
    }
}

impl<'a> SlotsCheck<'a> {
    /// Decides the check, if the slots of all counters are there.
    #[inline]
    pub(crate) fn decide(&mut self, check: &Check<'a>) -> Result<(), Declined> {
        if !check.is_simple() {
            return Err(Declined);
        }
        for _ in 0..ATTEMPTS {
            let token = self.store.counter_ids.token();
            self.read_slots(check)?;
            // Else an id may have passed to another counter of its namespace in between.
            if self.store.counter_ids.token() != token {
                return Err(Declined);
            }
            self.now = self.store.clock.now();
            self.check_words(check)?;
            if self.write(check.cost()) {
                return Ok(());
            }
        }
        Err(Declined)
    }

    #[inline]
    fn read_slots(&mut self, check: &Check<'a>) -> Result<(), Declined> {
        self.counters.clear();
        self.may_be_banned = false;
        let mut last: Option<(&Key, Location, &Segment)> = None;
        for (policy, item) in check.items().enumerate() {
            let key = &item.subject.key;
            // Mostly all policies count the same key, which is compared faster than hashed.
            let (location, segment) = match last {
                Some((same, location, segment)) if same == key => (location, segment),
                _ => {
                    let location = self.store.location(key);
                    (location, self.store.segment(location))
                }
            };
            last = Some((key, location, segment));
            self.read_slots_of(policy, item, location, segment)?;
            // Asked after the slots: a strike that bans has claimed them before.
            self.may_be_banned |= item.may_be_banned() && self.store.bans.may_have(location);
        }
        Ok(())
    }

    #[inline]
    fn read_slots_of(
        &mut self,
        policy: usize,
        item: Item<'a>,
        location: Location,
        segment: &'a Segment,
    ) -> Result<(), Declined> {
        let Shared { table, counter_ids, .. } = self.store;
        // The quotas of a policy are in one bucket. They have come together, so mostly into
        // slots that follow each other.
        let number = location.of(item.policy.namespaces().counters, table).bucket;
        let bucket = segment.bucket(number);
        let quotas = &item.policy.counters().quotas[..];
        let mut before: Option<&Slot> = None;
        for (quota, Counter { spec, id }) in quotas.iter().enumerate() {
            let id = counter_ids.cached(id).ok_or(Declined)?;
            let tag = Tag::counter(location.digest, spec.namespace, id);
            let guess = before.map(|before| bucket.slot_behind(before));
            let slot = match guess.filter(|guess| guess.tag() == tag) {
                Some(guessed) => guessed,
                None => segment.find(number, tag).ok_or(Declined)?,
            };
            before = Some(slot);
            let read = slot.read(tag).ok_or(Declined)?;
            self.counters.push(Counted {
                at: QuotaPosition::new(policy, quota),
                encoding: &spec.encoding,
                slot: SlotCharge { slot, read, payload: 0 },
                is_near_limit: false,
                is_last: quota + 1 == quotas.len(),
            });
        }
        Ok(())
    }

    /// Decides by the words of all slots what becomes of the check, and of each slot if it is
    /// charged.
    #[inline]
    fn check_words(&mut self, check: &Check<'_>) -> Result<(), Declined> {
        self.ban = if self.may_be_banned { self.ban_in_force(check)? } else { None };
        let (cost, now, origin) = (check.cost(), self.now, self.store.origin);
        let (mut passes, mut is_gcra) = (true, true);
        for counted in &mut self.counters[..] {
            if counted.encoding.is_gcra() {
                passes &= counted.check::<Grains>(cost, now, origin)?;
            } else {
                is_gcra = false;
                passes &= counted.check_window(cost, now, origin)?;
            }
        }
        self.is_gcra = is_gcra;
        if !passes && self.ban.is_none() && check.items().any(|item| item.may_strike()) {
            return Err(Declined);
        }
        self.passes = passes && self.ban.is_none();
        Ok(())
    }

    /// Returns the ban in force that ends last.
    #[inline(never)]
    fn ban_in_force(&self, check: &Check<'_>) -> Result<Option<PolicyBan>, Declined> {
        let mut last: Option<PolicyBan> = None;
        for (policy, item) in check.items().enumerate() {
            let location = self.store.location(&item.subject.key);
            let own = self.store.slotted_ban(item, location, self.now)?;
            let own = own.map(|until| PolicyBan { policy, until });
            last = last.into_iter().chain(own).max_by_key(|ban| ban.until);
        }
        Ok(last)
    }

    /// Ends the check: charges it, if it is admitted. Returns false, with nothing done, if a
    /// slot has changed since it was read.
    #[inline]
    fn write(&self, cost: u64) -> bool {
        let mut slots = self.counters[..].iter().map(|counted| counted.slot);
        if self.passes && cost > 0 {
            return write_charges(slots);
        }
        slots.all(|SlotCharge { slot, read, .. }| slot.write_checked(read, None))
    }

    #[inline]
    pub(crate) fn is_admitted(&self) -> bool {
        self.passes
    }

    /// Calls with the position of each policy, and true if one of its quotas is near its limit.
    #[inline]
    pub(crate) fn for_each_policy(&self, mut call: impl FnMut(usize, bool)) {
        let mut is_near_limit = false;
        for counted in &self.counters[..] {
            is_near_limit |= counted.is_near_limit;
            if counted.is_last {
                call(counted.at.policy(), mem::take(&mut is_near_limit));
            }
        }
    }

    /// Returns the decision of a check that is admitted.
    #[allow(clippy::inline_always, reason = "see one_bucket")]
    #[inline(always)]
    pub(crate) fn admission(&self) -> Decision {
        let Self { store, counters, now, .. } = self;
        let status = |Counted { at, encoding, slot, .. }: &Counted<'_>| {
            encoding.with_usage(slot.payload, *now, store.origin, |usage| {
                QuotaStatus::new(*at, false, Wait::None, usage)
            })
        };
        // By itself, since each took a quarter more instructions beside other algorithms.
        let gcra_status = |Counted { at, encoding, slot, .. }: &Counted<'_>| {
            let usage = encoding.gcra_usage(slot.payload, *now, store.origin);
            QuotaStatus::new(*at, false, Wait::None, usage)
        };
        // Each is written where it stays: pushed one by one, they were moved right after they
        // were written, which took an eighth of a check of two quotas.
        let counters = &counters[..];
        let mut statuses: Vec<QuotaStatus> = Vec::with_capacity(counters.len());
        if self.is_gcra {
            statuses.extend(counters.iter().map(gcra_status));
        } else {
            statuses.extend(counters.iter().map(status));
        }
        Decision::admitted(*now, ShortList::of_many(statuses))
    }

    /// Returns the decision of a check of that cost that is refused.
    #[inline(never)]
    pub(crate) fn refusal(&self, cost: u64) -> Decision {
        let Self { store, counters, now, ban, .. } = self;
        let status = |Counted { at, encoding, slot, .. }: &Counted<'_>| {
            let usage = encoding.unpack(slot.read.payload(), *now, store.origin);
            QuotaStatus::new(*at, false, usage.wait(cost), usage)
        };
        Decision::of(*now, *ban, counters.iter().map(status).collect())
    }
}

#[cfg(test)]
mod tests;

//! What was admitted in memory while the store was away, until it is charged to
//! the store inside each key's next check.
//!
//! A debt is taken out before the store is asked. So it is charged once, or, if
//! the store fails at that moment, not at all: never twice.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use crate::{
    algorithm::Owed,
    decision::Decision,
    key::Key,
    store::{Check, Item, choice::Caps},
    time::{Clock, SystemClock, Timestamp},
};

/// A scope of a policy's state, and a key.
type Name = (u64, Key);

pub(super) struct Debts {
    units: Cache<Name, Owed>,
    bans: Cache<Name, Timestamp>,
    /// Whether there ever was a debt: most stores never fail.
    any: AtomicBool,
}

impl Debts {
    pub(super) fn new(caps: Caps) -> Self {
        Self { units: bounded(caps.keys), bans: bounded(caps.bans), any: AtomicBool::new(false) }
    }

    /// Notes what a check that was decided without the store has charged, and
    /// the ban that it brought.
    pub(super) fn note(&self, check: &Check<'_>, decision: &Decision) {
        let admitted = decision.is_allowed() && check.cost() > 0;
        for (at, item) in check.items().enumerate().filter(|_| admitted) {
            // A policy that does otherwise has no quotas there, a shadow policy
            // may have refused.
            let mut own = decision.quotas.iter().filter(|status| status.policy == at);
            if own.clone().count() > 0 && own.all(|status| !status.refuses()) {
                self.charge(item, check.cost(), decision.now);
            }
        }
        let new_ban = decision.ban.filter(|_| decision.new_ban);
        for (at, until) in new_ban.into_iter().chain(decision.shadow_ban) {
            if let Some(item) = check.items().nth(at) {
                self.ban(item, until);
            }
        }
    }

    fn charge(&self, item: Item<'_>, cost: u64, now: Timestamp) {
        self.any.store(true, Ordering::Relaxed);
        self.units.entry(units(item)).and_compute_with(|entry| {
            let known = entry.map(|entry| entry.into_value());
            let mut owed = known.unwrap_or_else(|| Owed::new(item.policy, now));
            owed.charge(cost, now);
            Op::Put(owed)
        });
    }

    pub(super) fn ban(&self, item: Item<'_>, until: Timestamp) {
        self.any.store(true, Ordering::Relaxed);
        self.bans.insert(bans(item), until);
    }

    /// Takes what the items of a check owe; empty if none owes anything.
    pub(super) fn take(&self, check: &Check<'_>) -> Vec<Option<Owed>> {
        if !self.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let now = SystemClock.now();
        let taken: Vec<_> = check.items().map(|item| self.take_of(item, now)).collect();
        if taken.iter().any(Option::is_some) { taken } else { Vec::new() }
    }

    fn take_of(&self, item: Item<'_>, now: Timestamp) -> Option<Owed> {
        let (owed, ban) = (self.units.remove(&units(item)), self.bans.remove(&bans(item)));
        if owed.is_none() && ban.is_none() {
            return None;
        }
        let mut owed = owed.unwrap_or_else(|| Owed::new(item.policy, now));
        if let Some(until) = ban {
            owed.ban_until(until);
        }
        Some(owed.at(now))
    }

    /// Puts back what was taken for a check that has certainly charged nothing.
    pub(super) fn put_back(&self, check: &Check<'_>) {
        for (_, item, taken) in check.owed() {
            self.units.entry(units(item)).and_compute_with(|entry| {
                let since = entry.map(|entry| entry.into_value());
                Op::Put(since.into_iter().fold(taken.clone(), Owed::and))
            });
            if let Some(until) = taken.banned_until() {
                self.ban(item, until);
            }
        }
    }

    /// Forgives the units: they were reset by hand.
    pub(super) fn forget_units(&self, item: Item<'_>) {
        self.units.invalidate(&units(item));
    }

    /// Forgives the ban: it was changed by hand.
    pub(super) fn forget_ban(&self, item: Item<'_>) {
        self.bans.invalidate(&bans(item));
    }
}

/// The debt longest untouched makes room.
fn bounded<V: Clone + Send + Sync + 'static>(entries: usize) -> Cache<Name, V> {
    let builder = Cache::builder().max_capacity(entries as u64);
    builder.eviction_policy(EvictionPolicy::lru()).build()
}

fn units(item: Item<'_>) -> Name {
    (item.policy.scope().counters, item.subject.key.clone())
}

fn bans(item: Item<'_>) -> Name {
    (item.policy.scope().bans, item.subject.key.clone())
}

impl fmt::Debug for Debts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, bans) = (self.units.entry_count(), self.bans.entry_count());
        f.debug_struct("Debts").field("units", &units).field("bans", &bans).finish()
    }
}

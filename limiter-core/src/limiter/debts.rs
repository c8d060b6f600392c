//! What was admitted in memory while the store was away, until it is charged to
//! the store inside each key's next check.
//!
//! A debt is taken out before the store is asked. So it is charged once, or, if
//! the store fails at that moment, not at all: never twice. A key that has lost
//! one so brings the next one only once the store has answered for that key: of
//! a cluster, part may be away.

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
    units: Cache<Name, Debt>,
    bans: Cache<Name, Timestamp>,
    /// Whether there ever was a debt: most stores never fail.
    any: AtomicBool,
}

#[derive(Clone, Debug)]
struct Debt {
    owed: Owed,
    /// Whether the store has to answer first.
    waits: bool,
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
        self.change(item, |debt| {
            let mut debt =
                debt.unwrap_or_else(|| Debt { owed: Owed::new(item.policy, now), waits: false });
            debt.owed.charge(cost, now);
            debt
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
        if self.units.get(&units(item)).is_some_and(|debt| debt.waits) {
            return None;
        }
        let (debt, ban) = (self.units.remove(&units(item)), self.bans.remove(&bans(item)));
        if debt.is_none() && ban.is_none() {
            return None;
        }
        let mut owed = debt.map_or_else(|| Owed::new(item.policy, now), |debt| debt.owed);
        if let Some(until) = ban {
            owed.ban_until(until);
        }
        Some(owed.at(now))
    }

    /// Notes that the store has failed at a check. What it brought is put back if
    /// it has certainly not been charged.
    pub(super) fn failed(&self, check: &Check<'_>, did_nothing: bool) {
        for (_, item, taken) in check.owed() {
            self.change(item, |debt| {
                let owed = match debt {
                    _ if !did_nothing => Owed::new(item.policy, SystemClock.now()),
                    None => taken.clone(),
                    Some(since) => taken.clone().and(since.owed),
                };
                Debt { owed, waits: !did_nothing }
            });
            if let Some(until) = taken.banned_until().filter(|_| did_nothing) {
                self.ban(item, until);
            }
        }
    }

    /// Notes that the store has answered for the items of a check.
    pub(super) fn answered(&self, check: &Check<'_>) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        for item in check.items() {
            if let Some(debt) = self.units.get(&units(item)).filter(|debt| debt.waits) {
                self.change(item, |now| Debt { waits: false, ..now.unwrap_or(debt) });
            }
        }
    }

    fn change(&self, item: Item<'_>, change: impl FnOnce(Option<Debt>) -> Debt) {
        let entry = self.units.entry(units(item));
        entry.and_compute_with(|entry| Op::Put(change(entry.map(|entry| entry.into_value()))));
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

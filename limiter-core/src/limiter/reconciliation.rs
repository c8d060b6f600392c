//! What was admitted in memory while the store was away, until it is charged to
//! the store inside each key's next check.
//!
//! A debt is taken out before the store is asked. So its units are charged once,
//! or, if the store fails at that moment, not at all: never twice. A key that has lost
//! one so brings the next one only once the store has answered for that key: of
//! a cluster, part may be away.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use crate::{
    ban::Ban,
    decision::{Decision, PolicyBan},
    key::Key,
    outage_usage::OutageUsage,
    store::{Check, Item, select::MemoryLimits},
    time::{Clock, SystemClock, Timestamp},
};

/// A scope of a policy's state, and a key.
type Name = (u64, Key);

pub(super) struct ReconciliationLog {
    units: Cache<Name, PendingUsage>,
    bans: Cache<Name, Ban>,
    /// Whether there ever was a debt: most stores never fail.
    any: AtomicBool,
}

#[derive(Clone, Debug)]
struct PendingUsage {
    owed: OutageUsage,
    /// Whether the store has to answer first.
    waits: bool,
}

impl ReconciliationLog {
    /// ReconciliationLog are forgotten that nobody has touched for `longest`: by then they
    /// have faded in any store.
    pub(super) fn new(caps: MemoryLimits, longest: Duration) -> Self {
        Self {
            units: bounded(caps.keys, longest),
            bans: bounded(caps.bans, longest),
            any: AtomicBool::new(false),
        }
    }

    /// Notes what a check has charged that was decided without the store.
    pub(super) fn note(&self, check: &Check<'_>, decision: &Decision) {
        let admitted = decision.is_allowed() && check.cost() > 0;
        for (at, item) in check.items().enumerate().filter(|_| admitted) {
            // A policy that does otherwise has no quotas there, a shadow policy
            // may have refused.
            let mut own = decision.quotas.iter().filter(|status| status.policy() == at);
            if own.clone().count() > 0 && own.all(|status| !status.refuses()) {
                self.charge(item, check.cost(), decision.now);
            }
        }
    }

    /// Notes the ban that a check has brought which was decided without the store.
    pub(super) fn note_ban(&self, check: &Check<'_>, decision: &Decision) {
        let new_ban = if decision.is_new_ban() { decision.ban() } else { None };
        for PolicyBan { policy, until } in new_ban.into_iter().chain(decision.new_shadow_ban()) {
            if let Some(item) = check.items().nth(policy) {
                self.ban(item, Ban { until, duration: until.micros_since(decision.now) });
            }
        }
    }

    fn charge(&self, item: Item<'_>, cost: u64, now: Timestamp) {
        self.any.store(true, Ordering::Relaxed);
        self.change(item, |debt| {
            let fresh = || PendingUsage { owed: OutageUsage::new(item.policy, now), waits: false };
            let mut debt = debt.unwrap_or_else(fresh);
            debt.owed.charge(cost, now);
            Op::Put(debt)
        });
    }

    pub(super) fn ban(&self, item: Item<'_>, ban: Ban) {
        self.any.store(true, Ordering::Relaxed);
        self.bans.insert(bans(item), ban);
    }

    /// Whether anything was ever owed.
    pub(super) fn is_used(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Takes what the items of a check owe; empty if none owes anything.
    pub(super) fn take(&self, check: &Check<'_>) -> Vec<Option<OutageUsage>> {
        if !self.is_used() {
            return Vec::new();
        }
        let now = SystemClock.now();
        let taken: Vec<_> = check.items().map(|item| self.take_of(item, now)).collect();
        if taken.iter().any(Option::is_some) { taken } else { Vec::new() }
    }

    fn take_of(&self, item: Item<'_>, now: Timestamp) -> Option<OutageUsage> {
        let (mut taken, mut waits) = (None, false);
        self.change(item, |debt| match debt {
            Some(debt) if debt.waits => {
                waits = true;
                Op::Nop
            }
            Some(debt) => {
                taken = Some(debt.owed);
                Op::Remove
            }
            None => Op::Nop,
        });
        let ban = if waits { None } else { self.bans.remove(&bans(item)) };
        if taken.is_none() && ban.is_none() {
            return None;
        }
        let mut owed = taken.unwrap_or_else(|| OutageUsage::new(item.policy, now));
        if let Some(ban) = ban {
            owed.ban(ban);
        }
        Some(owed.at(now))
    }

    /// Notes that the store has failed at a check. What it brought is put back if
    /// it has certainly not been charged.
    pub(super) fn failed(&self, check: &Check<'_>, did_nothing: bool) {
        for (_, item, taken) in check.owed() {
            self.change(item, |since| {
                let owed = match (did_nothing, since) {
                    (true, None) => taken.clone(),
                    (true, Some(since)) => taken.clone().and(since.owed),
                    // What has come in since was not brought.
                    (false, Some(since)) => since.owed,
                    (false, None) => OutageUsage::new(item.policy, SystemClock.now()),
                };
                Op::Put(PendingUsage { owed, waits: !did_nothing })
            });
            // Told twice, a ban is the same ban.
            if let Some(ban) = taken.the_ban() {
                self.ban(item, ban);
            }
        }
    }

    /// Notes that the store has answered for the items of a check.
    pub(super) fn answered(&self, check: &Check<'_>) {
        if !self.is_used() {
            return;
        }
        for item in check.items() {
            if self.units.get(&units(item)).is_some_and(|debt| debt.waits) {
                self.change(item, |debt| {
                    debt.map_or(Op::Nop, |debt| Op::Put(PendingUsage { waits: false, ..debt }))
                });
            }
        }
    }

    /// Changes a debt, one after the other of those who would.
    fn change(
        &self,
        item: Item<'_>,
        change: impl FnOnce(Option<PendingUsage>) -> Op<PendingUsage>,
    ) {
        let entry = self.units.entry(units(item));
        entry.and_compute_with(|entry| change(entry.map(|entry| entry.into_value())));
    }

    /// Forgives the units: they were reset by hand.
    pub(super) fn forget_units(&self, item: Item<'_>) {
        self.change(item, |debt| debt.map_or(Op::Nop, |_| Op::Remove));
    }

    /// Forgives the ban: it was changed by hand.
    pub(super) fn forget_ban(&self, item: Item<'_>) {
        self.bans.invalidate(&bans(item));
    }
}

/// The debt longest untouched makes room.
fn bounded<V: Clone + Send + Sync + 'static>(entries: usize, idle: Duration) -> Cache<Name, V> {
    let builder = Cache::builder().max_capacity(entries as u64).time_to_idle(idle);
    builder.eviction_policy(EvictionPolicy::lru()).build()
}

fn units(item: Item<'_>) -> Name {
    (item.policy.scope().counters, item.subject.key.clone())
}

fn bans(item: Item<'_>) -> Name {
    (item.policy.scope().bans, item.subject.key.clone())
}

impl fmt::Debug for ReconciliationLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, bans) = (self.units.entry_count(), self.bans.entry_count());
        f.debug_struct("ReconciliationLog").field("units", &units).field("bans", &bans).finish()
    }
}

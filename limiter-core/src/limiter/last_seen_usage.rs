//! Last seen usage: what the store has returned last of keys that have used half of a
//! quota or more, so that the fallback begins from there when the store goes away.
//!
//! Keys that have used less are not kept: they would cost every request a write, and
//! the fallback admits them less than half a limit too much.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use crate::{
    algorithm::{State, Usage},
    check::{Check, Item},
    decide::Levels,
    decision::{Decision, QuotaStatus},
    expiring_cache::{CacheKey, ExpiringCache},
    outage_usage::OutageUsage,
    policy::{OnStoreError, Policy, QuotaId},
    quota::Quota,
    short_list::ShortList,
    store::Store,
    time::Timestamp,
};

/// How many keys are kept, each for a policy.
const CAPACITY: u64 = 100_000;

pub(super) struct LastSeen {
    usages: ExpiringCache<Seen>,
    used: AtomicBool,
    /// One request at a time moves usage to the fallback; the others wait for it.
    moving: Mutex<()>,
}

/// The usage of each quota of a policy, by the store's clock.
struct Seen {
    policy: Policy,
    quotas: ShortList<QuotaStatus>,
    now: Timestamp,
    at: Instant,
}

impl LastSeen {
    pub(super) fn new() -> Self {
        let usages = ExpiringCache::new(CAPACITY, None);
        Self { usages, used: AtomicBool::new(false), moving: Mutex::new(()) }
    }

    /// Notes what the store has returned for a check.
    pub(super) fn put(&self, check: &Check<'_>, decision: &Decision) {
        for (at, item) in check.items().enumerate() {
            let own = || decision.quotas.iter().filter(|status| status.policy() == at);
            if item.policy.on_store_error() == OnStoreError::Local && own().any(is_half_used) {
                let quotas = own().copied().collect();
                let keep = item.policy.remembered_for();
                let (policy, now) = (item.policy.clone(), decision.now);
                let seen = Seen { policy, quotas, now, at: Instant::now() };
                self.used.store(true, Ordering::Relaxed);
                self.usages.insert(id(item), seen, Some(keep));
            }
        }
    }

    /// Moves what was seen of an item to the fallback's store, in place of what that
    /// has of an outage before.
    pub(super) fn move_to(&self, local: &dyn Store, item: Item<'_>) {
        if !self.used.load(Ordering::Relaxed) || !self.usages.contains(&id(item)) {
            return;
        }
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = self.usages.get(&id(item)) else { return };
        let (now, usages) = seen.usages(item);
        let usage = [Some(OutageUsage::of_usages(&usages, now))];
        let (policies, subjects) = ([item.policy.clone()], [item.subject.clone()]);
        let _ = super::fallback::at_once(local.reset(item));
        let check = Check::new(&policies, &subjects, 0).with_outage_usage(&usage);
        let _ = super::fallback::at_once(local.decide(check));
        self.usages.remove(&id(item));
    }

    /// Returns what was seen of an item, and was not moved yet.
    pub(super) fn peek(&self, item: Item<'_>) -> Option<Levels> {
        self.usages.get(&id(item)).map(|seen| seen.usages(item).1)
    }

    /// Forgets an item: it was reset by hand.
    pub(super) fn forget(&self, item: Item<'_>) {
        self.usages.remove(&id(item));
    }
}

impl Seen {
    /// Returns the usage now, and the instant by the store's clock. The quotas may have
    /// been other ones: those of a request and those of a configuration may change.
    fn usages(&self, item: Item<'_>) -> (Timestamp, Levels) {
        let now = self.now.after(self.at.elapsed());
        let quotas = item.policy.quotas().iter().zip(item.policy.quota_ids());
        let usage = |(quota, id): (&Quota, &QuotaId)| Usage::at(*quota, self.state(*id), now);
        (now, quotas.map(usage).collect())
    }

    fn state(&self, id: QuotaId) -> Option<State> {
        let mut seen = self.policy.quota_ids().iter().zip(&self.quotas);
        seen.find(|(own, _)| **own == id).and_then(|(_, status)| status.usage.state())
    }
}

fn is_half_used(status: &QuotaStatus) -> bool {
    status.remaining() <= status.quota().burst() / 2
}

fn id(item: Item<'_>) -> CacheKey {
    CacheKey::of(item.policy.namespaces().counters, &item.subject.key)
}

impl fmt::Debug for LastSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LastSeen({})", self.usages.count())
    }
}

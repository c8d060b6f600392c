//! Reconciliation: outage usage, admitted in memory while the store was away, is kept
//! until it is charged to the store with the key's next check.
//!
//! It is taken out before the store is called. Its units are charged once or, if the
//! store fails at that moment, not at all, but never twice. A key that has lost usage
//! this way has its next charged only once the store has answered for that key: of a
//! cluster, part may be away.

#[cfg(test)]
mod tests;
mod uncharged_usage;

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use self::uncharged_usage::{PendingUsage, PendingUsages};
use crate::{
    ban::Ban,
    check::{Check, Item},
    decision::{Decision, PolicyBan},
    expiring_cache::{CacheKey, ExpiringCache},
    outage_usage::OutageUsage,
    store::memory_capacity::MemoryLimits,
    time::{Clock, SystemClock, Timestamp, micros},
};

/// How often keys that found no room are logged at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

pub(super) struct ReconciliationLog {
    usages: PendingUsages,
    bans: ExpiringCache<Ban>,
    /// True if there ever was a ban: most stores never fail.
    has_bans: AtomicBool,
    /// Admitted requests that were not noted for want of room, since they were logged.
    not_noted: AtomicU64,
    /// When they were logged, in microseconds of the clock.
    logged_at: AtomicU64,
}

impl ReconciliationLog {
    /// Keeps usage of `caps.keys` keys, and `caps.bans` bans. What nobody has touched for
    /// `longest` is forgotten: by then it has expired in any store.
    ///
    /// If there is no room, the usage of keys that have none yet is not noted, so that
    /// it is not charged afterwards. Noted usage is never displaced: whoever could bring
    /// more keys would get rid of it.
    pub(super) fn new(caps: MemoryLimits, longest: Duration) -> Self {
        Self {
            usages: PendingUsages::new(caps.keys, longest),
            bans: ExpiringCache::new(caps.bans as u64, Some(longest)),
            has_bans: AtomicBool::new(false),
            not_noted: AtomicU64::new(0),
            logged_at: AtomicU64::new(0),
        }
    }

    /// Keeps usage that nobody touches for that long at least.
    pub(super) fn keep_for(&self, longest: Duration) {
        self.usages.keep_for(longest);
    }

    /// Notes what a check has charged that was decided without the store.
    pub(super) fn note(&self, check: &Check<'_>, decision: &Decision) {
        if !decision.is_allowed() || check.cost() == 0 {
            return;
        }
        for (at, item) in check.items().enumerate() {
            // A policy that does otherwise has no quotas there, a shadow policy
            // may have refused.
            let mut own = decision.quotas.iter().filter(|status| status.policy() == at).peekable();
            if own.peek().is_some() && own.all(|status| !status.refuses()) {
                self.charge(item, check.cost(), decision.now);
            }
        }
    }

    /// Notes the ban that a check has brought which was decided without the store.
    pub(super) fn note_ban(&self, check: &Check<'_>, decision: &Decision) {
        for &PolicyBan { policy, until } in decision.bans_brought() {
            if let Some(item) = check.items().nth(policy) {
                let duration = until.micros_since(decision.now);
                self.ban(item, Ban { until, duration, count: 1 });
            }
        }
    }

    /// Takes units off that were charged without the store and have not been charged to it
    /// yet.
    pub(super) fn give_back(
        &self,
        item: Item<'_>,
        units: u64,
        charged_at: Timestamp,
        now: Timestamp,
    ) {
        if self.usages.is_empty() {
            return;
        }
        self.usages.update(item, now, |pending| {
            let mut pending = pending?;
            pending.usage.give_back(units, charged_at, now);
            Some(pending)
        });
    }

    /// Notes units that were charged without the store.
    pub(super) fn charge(&self, item: Item<'_>, cost: u64, now: Timestamp) {
        let is_noted = self.usages.update_if_room(item, now, |pending| {
            let mut pending = pending.unwrap_or_else(|| PendingUsage::none(item, now));
            pending.usage.charge(cost, now);
            Some(pending)
        });
        if !is_noted {
            self.not_noted.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn ban(&self, item: Item<'_>, ban: Ban) {
        self.has_bans.store(true, Ordering::Relaxed);
        self.bans.insert(ban_id(item), ban, None);
    }

    /// Returns false if there is nothing to reconcile.
    fn is_used(&self) -> bool {
        !self.usages.is_empty() || self.has_bans.load(Ordering::Relaxed)
    }

    /// Takes the outage usage of the items of a check; empty if none has any.
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
        self.usages.update(item, now, |pending| {
            let pending = pending?;
            waits = pending.waits;
            if waits {
                return Some(pending);
            }
            taken = Some(pending.usage);
            None
        });
        let ban = if waits { None } else { self.bans.remove(&ban_id(item)) };
        if taken.is_none() && ban.is_none() {
            return None;
        }
        let mut usage = taken.unwrap_or_else(|| OutageUsage::new(item.policy, now));
        if let Some(ban) = ban {
            usage.ban(*ban);
        }
        Some(usage.at(now))
    }

    /// Returns what [`take`](Self::take) would, and leaves it there.
    pub(super) fn peek(&self, check: &Check<'_>) -> Vec<Option<OutageUsage>> {
        if !self.is_used() {
            return Vec::new();
        }
        let now = SystemClock.now();
        check.items().map(|item| self.peek_of(item, now)).collect()
    }

    fn peek_of(&self, item: Item<'_>, now: Timestamp) -> Option<OutageUsage> {
        let pending = self.usages.get(item, now);
        if pending.as_ref().is_some_and(|pending| pending.waits) {
            return None;
        }
        let ban = self.bans.get(&ban_id(item));
        if pending.is_none() && ban.is_none() {
            return None;
        }
        let mut usage =
            pending.map_or_else(|| OutageUsage::new(item.policy, now), |pending| pending.usage);
        if let Some(ban) = ban {
            usage.ban(*ban);
        }
        Some(usage.at(now))
    }

    /// Notes that the store has failed at a check. The usage that the check brought is
    /// put back if it has certainly not been charged.
    pub(super) fn failed(&self, check: &Check<'_>, is_not_applied: bool) {
        let now = SystemClock.now();
        for (_, item, taken) in check.outage_usage() {
            let put_back = |since: Option<PendingUsage>| {
                let usage = match (is_not_applied, since) {
                    (true, None) => taken.clone(),
                    (true, Some(since)) => taken.clone().and(since.usage),
                    // Usage that came in since was not sent.
                    (false, Some(since)) => since.usage,
                    (false, None) => OutageUsage::new(item.policy, now),
                };
                Some(PendingUsage { usage, waits: !is_not_applied })
            };
            if taken.is_unused() {
                self.usages.update_if_room(item, now, put_back);
            } else {
                self.usages.update(item, now, put_back);
            }
            // A ban that is brought twice is the same ban.
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
        let now = SystemClock.now();
        for item in check.items() {
            self.usages.update(item, now, |pending| {
                let pending = pending.filter(|pending| !pending.usage.is_unused())?;
                Some(PendingUsage { waits: false, ..pending })
            });
        }
        self.log_not_noted(now);
    }

    /// Logs how much was not noted, now that a store answers again.
    fn log_not_noted(&self, now: Timestamp) {
        if self.not_noted.load(Ordering::Relaxed) == 0 {
            return;
        }
        let is_due = |logged: u64| {
            let is_due = now.as_micros().saturating_sub(logged) >= micros(LOG_EVERY);
            is_due.then_some(now.as_micros())
        };
        if self.logged_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_ok() {
            let requests = self.not_noted.swap(0, Ordering::Relaxed);
            tracing::warn!(
                requests,
                "requests that were admitted while the store was away will not be charged to \
                 it: the usage of max_keys keys was noted already"
            );
        }
    }

    /// Forgets the units: they were reset by hand.
    pub(super) fn forget_units(&self, item: Item<'_>) {
        self.usages.remove(item);
    }

    /// Forgets the ban: it was changed by hand.
    pub(super) fn forget_ban(&self, item: Item<'_>) {
        self.bans.remove(&ban_id(item));
    }
}

fn ban_id(item: Item<'_>) -> CacheKey {
    CacheKey::of(item.policy.namespaces().bans, &item.subject.key)
}

impl fmt::Debug for ReconciliationLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (usages, bans) = (&self.usages, self.bans.count());
        f.debug_struct("ReconciliationLog").field("usages", usages).field("bans", &bans).finish()
    }
}

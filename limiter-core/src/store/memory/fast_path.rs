//! The fast paths: checks of policies that all enforce, whose refusal strikes
//! nobody. They give the answers of the general path.
//!
//! A check whose slots are there takes no lock: it reads the slots, then the clock,
//! decides, and charges by compare-and-swap. (A clock that were read first would refuse by
//! an instant before charges that it sees.) A newcomer takes the locks of its segments.
//! Everything else takes the general path: a refusal that strikes, a shadow policy, usage
//! owed from an outage.

use std::hint::black_box;

use smallvec::SmallVec;

use super::{MemoryStore, Shared, counter_ids::Id, locking::LockedSegments, table::Location};
use crate::{
    algorithm::Grains,
    check::{Check, Item},
    decide::decide_without_strikes,
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    error::StoreError,
    short_list::ShortList,
};

/// A check that a fast path cannot decide; nothing was done.
pub(crate) struct Declined;

/// The place of the only quota of a check.
pub(super) const FIRST: QuotaPosition = QuotaPosition { policy: 0, quota: 0 };

impl MemoryStore {
    /// Decides a check: by a fast path, or else by the general one.
    pub(crate) fn decide_at_once(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        if let Ok(checked) = self.check_one_bucket::<Grains>(check) {
            return Ok(if checked.is_admitted() { checked.admission() } else { checked.refusal() });
        }
        let mut slots = self.slots_check();
        match slots.decide(check) {
            Ok(()) if slots.is_admitted() => Ok(slots.admission()),
            Ok(()) => Ok(slots.refusal(check.cost())),
            Err(Declined) => self.decide_any(check),
        }
    }

    /// Decides a check of any kind.
    #[inline(never)]
    pub(crate) fn decide_any(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        if check.is_simple() {
            if let Ok(refusal) = self.0.refuse_banned(check) {
                return Ok(refusal);
            }
            // Without `or_else`, by which each is copied.
            if let Ok(decision) = self.0.decide_locked(check) {
                return Ok(decision);
            }
        }
        self.0.decide(check)
    }
}

impl MemoryStore {
    /// Reads a slot of the item, so that several that are not in the processor's cache are
    /// fetched side by side and not each by the check that needs it.
    #[inline]
    pub(crate) fn prefetch(&self, Item { policy, subject }: Item<'_>) {
        let Shared { table, .. } = &*self.0;
        let first = policy.counters().quotas.first().map_or(0, |counter| counter.spec.namespace);
        let Location { digest, bucket } = self.0.location(&subject.key).of(first, table);
        black_box(table.bucket(bucket).first_slot(digest).tag());
    }
}

impl Shared {
    /// Decides under the locks of the segments.
    fn decide_locked(&self, check: &Check<'_>) -> Result<Decision, Declined> {
        let locations: SmallVec<[Location; 4]> =
            check.items().map(|item| self.location(&item.subject.key)).collect();
        let mut locked = LockedSegments::lock(self, locations.iter().copied());
        let now = self.clock.now();
        let most = check.items().map(|item| item.policy.quotas().len()).sum();
        let mut statuses: ShortList<QuotaStatus> = ShortList::with_capacity(most);
        let mut ids: SmallVec<[Id; 4]> = SmallVec::new();
        let mut ban: Option<PolicyBan> = None;
        for (policy, (item, location)) in check.items().zip(&locations).enumerate() {
            let own = self.slotted_ban(item, *location, now)?;
            let own = own.map(|until| PolicyBan { policy, until });
            ban = ban.into_iter().chain(own).max_by_key(|ban| ban.until);
            for (quota, counter) in item.policy.counters().quotas.iter().enumerate() {
                // Valid under the lock, so until it is released.
                let id = self.counter_ids.cached(&counter.id).ok_or(Declined)?;
                ids.push(id);
                let usage = locked.read(*location, &counter.spec, id, now);
                let at = QuotaPosition { policy, quota };
                statuses.push(QuotaStatus::new(at, false, usage.wait(check.cost()), usage));
            }
        }
        let (decision, charged) =
            decide_without_strikes(check, ban, statuses, now).ok_or(Declined)?;
        if charged {
            for (status, id) in decision.quotas.iter().zip(ids) {
                let policy = &check.policies()[status.policy()];
                let spec = &policy.counters().quotas[status.index()].spec;
                locked.write(locations[status.policy()], spec, id, &status.usage);
            }
        }
        Ok(decision)
    }
}

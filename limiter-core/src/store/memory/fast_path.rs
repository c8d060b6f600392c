//! The fast paths: checks of policies that all enforce, whose refusal strikes
//! nobody. They give the answers of the general path.
//!
//! A check of one quota whose slot is there takes no lock: it reads the slot, then
//! the clock, decides, and charges by one compare-and-swap. (A clock that were
//! read first would refuse by an instant before charges that it sees.) A newcomer
//! and a check of several quotas take the locks of their segments. Everything
//! else takes the general path: a refusal that strikes, a shadow policy, usage
//! owed from an outage.

use smallvec::SmallVec;

use super::{
    MemoryStore, Shared,
    counter_ids::Id,
    locking::{Location, LockedSegments},
    slot::Tag,
};
use crate::{
    check::{Check, Item},
    decide::decide_without_strikes,
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    policy::Counter,
};

/// A check that a fast path cannot decide; nothing was done.
pub(super) struct Declined;

impl MemoryStore {
    /// Decides a check by a fast path; `None` if it takes the general one.
    #[inline]
    pub(crate) fn decide_fast(&self, check: &Check<'_>) -> Option<Decision> {
        if !check.is_simple() {
            return None;
        }
        if let Some((item, counter)) = only_counter(check)
            && let Ok(decision) = self.0.decide_without_lock(check, item, counter)
        {
            return Some(decision);
        }
        self.0.decide_locked(check).ok()
    }
}

/// Returns the item and the counter, if there is one of each alone.
#[inline]
fn only_counter<'a>(check: &Check<'a>) -> Option<(Item<'a>, &'a Counter)> {
    let item = check.only_item()?;
    let [counter] = &item.policy.counters().quotas[..] else { return None };
    Some((item, counter))
}

impl Shared {
    #[inline]
    fn decide_without_lock(
        &self,
        check: &Check<'_>,
        item: Item<'_>,
        Counter { spec, id }: &Counter,
    ) -> Result<Decision, Declined> {
        let id = self.counter_ids.cached(id).ok_or(Declined)?;
        let location = self.location(&item.subject.key);
        let tag = Tag::counter(location.digest, spec.namespace, id);
        let bucket = location.of(spec.namespace, &self.table).bucket;
        let slot = self.table.bucket(bucket).find(location.digest, tag).ok_or(Declined)?;
        loop {
            let word = slot.read(tag).ok_or(Declined)?;
            let now = self.clock.now();
            let ban = self.slotted_ban(item, location, now)?;
            let ban = ban.map(|until| PolicyBan { policy: 0, until });
            let usage = spec.compact.unpack(word.payload(), now, self.origin);
            let at = QuotaPosition { policy: 0, quota: 0 };
            let status = QuotaStatus::new(at, false, usage.wait(check.cost()), usage);
            let (decision, charged) =
                decide_without_strikes(check, ban, SmallVec::from_buf([status]), now)
                    .ok_or(Declined)?;
            let is_done = if charged {
                let usage = &decision.quotas[0].usage;
                let payload =
                    spec.compact.pack_charged(usage, word.payload(), check.cost(), self.origin);
                slot.replace(word, payload.ok_or(Declined)?)
            } else {
                slot.is_still(word)
            };
            if is_done {
                return Ok(decision);
            }
        }
    }

    /// Decides under the locks of the segments.
    fn decide_locked(&self, check: &Check<'_>) -> Result<Decision, Declined> {
        let locations: SmallVec<[Location; 4]> =
            check.items().map(|item| self.location(&item.subject.key)).collect();
        let mut locked = LockedSegments::lock(self, locations.iter().copied());
        let now = self.clock.now();
        let most = check.items().map(|item| item.policy.quotas().len()).sum();
        let mut statuses: SmallVec<[QuotaStatus; 1]> = SmallVec::with_capacity(most);
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

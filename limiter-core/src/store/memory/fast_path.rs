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

use super::{
    BucketCheck, MemoryStore, Shared, Undecided, counter_ids::Id, locking::LockedSegments,
    slot::Slot, table::Location,
};
use crate::{
    algorithm::Grains,
    check::Check,
    decide::decide_without_strikes,
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    error::StoreError,
    key::Key,
    policy::Policy,
    short_list::ShortList,
};

/// Keys whose state is fetched side by side: of more, some would be evicted from the
/// processor's first cache before they are needed.
pub(crate) const MAX_PREFETCH: usize = 16;

/// A check that a fast path cannot decide; nothing was done.
pub(crate) struct Declined;

/// The place of the only quota of a check.
pub(super) const FIRST: QuotaPosition = QuotaPosition::new(0, 0);

impl MemoryStore {
    /// Decides a check: by a fast path, or else by the general one.
    pub(crate) fn decide_at_once(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        // One quota by windows is decided as several are: a way of its own for each kind of them
        // made a program 12 kB larger.
        if let Ok(decision) = self.decide_one_bucket(check) {
            return Ok(decision);
        }
        let mut slots = self.slots_check();
        match slots.decide(check) {
            Ok(()) if slots.is_admitted() => Ok(slots.admission()),
            Ok(()) => Ok(slots.refusal(check.cost())),
            Err(Declined) => self.decide_any(check),
        }
    }

    /// Decides a check of one quota by `gcra`.
    fn decide_one_bucket(&self, check: &Check<'_>) -> Result<Decision, Declined> {
        loop {
            match self.check_one_bucket::<Grains>(check) {
                Ok(checked) => return Ok(checked.decision()),
                Err(Undecided::Changed) => {}
                Err(Undecided::NoSlot(missing)) => {
                    let checked = self.check_newcomer::<Grains>(check, missing);
                    return checked.map(BucketCheck::decision);
                }
                Err(Undecided::Declined) => return Err(Declined),
            }
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
    /// Reads a slot of each key of a policy, at most [`MAX_PREFETCH`] of them, so that those
    /// that are not in the processor's cache are fetched side by side and not each by the check
    /// that needs it.
    pub(crate) fn prefetch<'a>(&self, policy: &Policy, keys: impl Iterator<Item = &'a Key>) {
        let Shared { table, .. } = &*self.0;
        let namespace = policy.namespaces().counters;
        // All are found before the first is read: with the instructions of both in between,
        // the processor looks no further ahead than three of them.
        let mut slots: [Option<&Slot>; MAX_PREFETCH] = [None; MAX_PREFETCH];
        for (slot, key) in slots.iter_mut().zip(keys) {
            let Location { digest, bucket } = self.0.location(key).of(namespace, table);
            *slot = Some(table.bucket(bucket).first_slot(digest));
        }
        black_box(slots.iter().flatten().filter(|slot| slot.tag().is_free()).count());
    }
}

impl Shared {
    /// Decides under the locks of the segments.
    fn decide_locked(&self, check: &Check<'_>) -> Result<Decision, Declined> {
        let locations: SmallVec<[Location; 4]> =
            check.items().map(|item| self.location(&item.subject.key)).collect();
        let mut locked = LockedSegments::lock(self, &locations);
        let ids = self.claim_counters(check, &locations, &mut locked)?;
        if locked.cramped_bucket().is_some() {
            return Err(Declined);
        }
        let now = self.clock.now();
        let mut statuses: ShortList<QuotaStatus> = ShortList::with_capacity(ids.len());
        let mut ban: Option<PolicyBan> = None;
        for (policy, (item, location)) in check.items().zip(&locations).enumerate() {
            let own = self.slotted_ban(item, *location, now)?;
            let own = own.map(|until| PolicyBan { policy, until });
            ban = ban.into_iter().chain(own).max_by_key(|ban| ban.until);
            for (quota, counter) in item.policy.counters().quotas.iter().enumerate() {
                let usage = locked.read(*location, &counter.spec, ids[statuses.len()], now);
                let at = QuotaPosition::new(policy, quota);
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

    /// Claims the slots of all counters. Returns their ids, which are valid until the locks are
    /// released.
    fn claim_counters(
        &self,
        check: &Check<'_>,
        locations: &[Location],
        locked: &mut LockedSegments<'_>,
    ) -> Result<SmallVec<[Id; 4]>, Declined> {
        let mut ids = SmallVec::new();
        for (item, location) in check.items().zip(locations) {
            for counter in &item.policy.counters().quotas {
                let id = self.counter_ids.cached(&counter.id).ok_or(Declined)?;
                locked.claim_counter(*location, &counter.spec, id);
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        check::Subject, key::Key, policy::Policy, quota::Quotas,
        store::memory::interrupted_clock::InterruptedClock,
    };

    /// A thread that reads the clock and is then held up, while others charge: their charges
    /// are further ahead than a small bucket is believed to be.
    #[test]
    fn no_charge_comes_between_the_clock_and_a_decision_under_locks() {
        let clock = InterruptedClock::default();
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let quotas: Quotas = "2000/second burst 2; 100000/minute".parse().unwrap();
        let policies: Arc<[Policy]> = [Policy::new("api", quotas).unwrap()].into();
        let subjects = [Subject::new(Key::user("alice"))];
        let check = Check::new(&policies, &subjects, 1);
        for _ in 0..2 {
            assert!(store.decide_at_once(&check).unwrap().is_allowed());
        }
        for by_fast_path in [true, false] {
            let (store_of_others, time) = (store.clone(), clock.time.clone());
            let (policies, subjects) = (Arc::clone(&policies), subjects.clone());
            clock.interrupt_next(move || {
                time.advance(Duration::from_millis(5));
                let check = Check::new(&policies, &subjects, 1);
                for _ in 0..2 {
                    // Without a lock, since this thread has it.
                    let _ = store_of_others.slots_check().decide(&check);
                }
            });
            let decision = match by_fast_path {
                true => store.0.decide_locked(&check).ok().unwrap(),
                false => store.0.decide(&check).unwrap(),
            };
            assert!(!decision.is_allowed(), "{by_fast_path}");
            clock.time.advance(Duration::from_millis(5));
            for _ in 0..2 {
                assert!(store.decide_at_once(&check).unwrap().is_allowed());
            }
        }
    }
}

//! The fast paths: checks of policies that all enforce, whose refusal strikes
//! nobody. They give the answers of the general path.
//!
//! A check of one quota whose slot is there takes no lock: it reads the slot, then
//! the clock, decides, and charges by one compare-and-swap. (A clock that were
//! read first would refuse by an instant before charges that it sees.) A check of
//! several quotas, whose slots are there, takes the locks of their segments and charges
//! them in place if it is admitted. A newcomer takes the locks as well. Everything else
//! takes the general path: a refusal that strikes, a shadow policy, usage owed from an
//! outage.

use std::hint::black_box;

use smallvec::SmallVec;

use super::{
    MemoryStore, Shared, counter_ids::Id, locking::LockedSegments, one_bucket::FoundSlot,
    slot::Tag, table::Location,
};
use crate::{
    algorithm::{Wait, WordCheck, WordEncoding},
    check::{Check, Item},
    decide::decide_without_strikes,
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    error::StoreError,
    policy::Counter,
    short_list::ShortList,
};

/// A check that a fast path cannot decide; nothing was done.
pub(crate) struct Declined;

/// The place of the only quota of a check.
pub(super) const FIRST: QuotaPosition = QuotaPosition { policy: 0, quota: 0 };

/// The word of a counter that a check has claimed.
struct ClaimedWord<'a> {
    at: QuotaPosition,
    encoding: &'a WordEncoding,
    word: u64,
}

impl MemoryStore {
    /// Decides a check: by a fast path, or else by the general one.
    pub(crate) fn decide_at_once(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        match self.check_one_bucket(check) {
            Ok(checked) if checked.is_admitted() => Ok(checked.admission()),
            Ok(checked) => Ok(checked.refusal()),
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
            let by_words = match check.only_item() {
                Some(item) if let [counter] = &item.policy.counters().quotas[..] => {
                    self.0.decide_one_quota(check, item, counter)
                }
                _ => self.0.admit_by_words(check),
            };
            // Without `or_else`, by which each is copied.
            if let Ok(decision) = by_words {
                return Ok(decision);
            }
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
    /// Decides a check of one quota of any kind, whose key may be banned.
    fn decide_one_quota(
        &self,
        check: &Check<'_>,
        item: Item<'_>,
        counter: &Counter,
    ) -> Result<Decision, Declined> {
        let encoding = &counter.spec.encoding;
        let FoundSlot { location, slot, tag } = self.find_slot(item, counter)?;
        loop {
            let read = slot.read(tag).ok_or(Declined)?;
            let now = self.clock.now();
            let checked = encoding.check(read.payload(), check.cost(), now, self.origin);
            let WordCheck { wait, charged } = checked.ok_or(Declined)?;
            let banned_until = self.slotted_ban(item, location, now)?;
            let charged = charged.filter(|_| banned_until.is_none());
            if wait != Wait::None && banned_until.is_none() && item.may_strike() {
                return Err(Declined);
            }
            if slot.write_checked(read, charged) {
                let usage = encoding.unpack(charged.unwrap_or(read.payload()), now, self.origin);
                let status = QuotaStatus::new(FIRST, false, wait, usage);
                let ban = banned_until.map(|until| PolicyBan { policy: 0, until });
                return Ok(Decision::of(now, ban, ShortList::of_one(status)));
            }
        }
    }

    /// Admits a check of several quotas, if the slots of all are there and none refuses, under
    /// the locks of their segments.
    fn admit_by_words(&self, check: &Check<'_>) -> Result<Decision, Declined> {
        let mut locations: SmallVec<[Location; 2]> = SmallVec::new();
        check.items().for_each(|item| locations.push(self.location(&item.subject.key)));
        let mut locked = LockedSegments::lock(self, locations.iter().copied());
        let mut claimed: SmallVec<[ClaimedWord<'_>; 4]> = SmallVec::new();
        for (policy, (item, location)) in check.items().zip(&locations).enumerate() {
            for (quota, Counter { spec, id }) in item.policy.counters().quotas.iter().enumerate() {
                let id = self.counter_ids.cached(id).ok_or(Declined)?;
                let tag = Tag::counter(location.digest, spec.namespace, id);
                let own = location.of(spec.namespace, &self.table);
                let word = locked.claim_own(own, tag).ok_or(Declined)?;
                let at = QuotaPosition { policy, quota };
                claimed.push(ClaimedWord { at, encoding: &spec.encoding, word });
            }
        }
        let now = self.clock.now();
        for (item, location) in check.items().zip(&locations) {
            if self.slotted_ban(item, *location, now)?.is_some() {
                return Err(Declined);
            }
        }
        for ClaimedWord { encoding, word, .. } in &mut claimed {
            let checked = encoding.check(*word, check.cost(), now, self.origin);
            *word = checked.and_then(|checked| checked.charged).ok_or(Declined)?;
        }
        locked.write_claimed(claimed.iter().map(|claimed| claimed.word));
        // Each is written where it stays: pushed one by one, they were moved right after they
        // were written, which took an eighth of a check of two quotas.
        let statuses: Vec<QuotaStatus> = claimed
            .iter()
            .map(|ClaimedWord { at, encoding, word }| {
                let usage = encoding.unpack(*word, now, self.origin);
                QuotaStatus::new(*at, false, Wait::None, usage)
            })
            .collect();
        Ok(Decision::admitted(now, ShortList::of_many(statuses)))
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Subject,
        key::Key,
        policy::Policy,
        quota::{Algorithm, Quota},
    };

    /// By the system's clock, the windows of large limits have words, whatever the algorithm.
    #[test]
    fn a_key_that_is_there_is_checked_without_a_lock() {
        for algorithm in [Algorithm::Gcra, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
            let quota = Quota::per_second(1_000_000).unwrap().with_algorithm(algorithm).unwrap();
            let (policies, store) = ([Policy::new("api", quota).unwrap()], MemoryStore::new());
            let subjects = [Subject::new(Key::user("alice"))];
            let check = Check::new(&policies, &subjects, 1);
            assert!(store.decide_at_once(&check).unwrap().is_allowed());
            let (item, counter) = (check.item(0), &policies[0].counters().quotas[0]);
            let decision = store.0.decide_one_quota(&check, item, counter).ok();
            assert!(decision.is_some_and(|decision| decision.is_allowed()), "{algorithm:?}");
        }
    }
}

//! The fast paths: checks of policies that all enforce, whose refusal strikes
//! nobody. They give the answers of the general path.
//!
//! A check of one quota whose slot is there takes no lock: it reads the slot, then
//! the clock, decides, and charges by one compare-and-swap. (A clock that were
//! read first would refuse by an instant before charges that it sees.) A check of
//! several quotas of a key, whose slots are there, takes the lock of their segment
//! and charges them in place if it is admitted. A newcomer and a check of several
//! keys take the locks of their segments. Everything else takes the general path: a
//! refusal that strikes, a shadow policy, usage owed from an outage.

use std::{hint::black_box, iter};

use smallvec::SmallVec;

use super::{
    MemoryStore, Shared,
    counter_ids::Id,
    locking::{Location, LockedSegments},
    slot::{Slot, Tag},
};
use crate::{
    algorithm::{Wait, WordCheck},
    check::{Check, Item},
    decide::decide_without_strikes,
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    error::StoreError,
    policy::Counter,
};

/// A check that a fast path cannot decide; nothing was done.
pub(super) struct Declined;

impl MemoryStore {
    /// Decides a check: by a fast path, or else by the general one.
    #[inline]
    pub(crate) fn decide_at_once(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        let by_words = match check.only_item().filter(|_| check.is_simple()) {
            Some(item) => match &item.policy.counters().quotas[..] {
                [counter] => self.0.decide_without_lock(check, item, counter),
                counters => self.0.admit_by_words(check, item, counters),
            },
            None => Err(Declined),
        };
        match by_words {
            Ok(decision) => Ok(decision),
            Err(Declined) => self.decide_under_locks(check),
        }
    }

    /// Decides a check under the locks of its segments.
    #[inline(never)]
    fn decide_under_locks(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        let decided = if check.is_simple() { self.0.decide_locked(check) } else { Err(Declined) };
        decided.or_else(|Declined| self.0.decide(check))
    }
}

impl MemoryStore {
    /// Reads a slot of each item, so that those that are not in the processor's cache are
    /// fetched side by side and not each by the check that needs it.
    pub(crate) fn prefetch<'a>(&self, items: impl Iterator<Item = Item<'a>>) {
        let Shared { table, .. } = &*self.0;
        for Item { policy, subject } in items {
            let first =
                policy.counters().quotas.first().map_or(0, |counter| counter.spec.namespace);
            let Location { digest, bucket } = self.0.location(&subject.key).of(first, table);
            black_box(table.bucket(bucket).slots_from(digest).next().map(Slot::tag));
        }
    }
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
        let at = QuotaPosition { policy: 0, quota: 0 };
        loop {
            let word = slot.read(tag).ok_or(Declined)?;
            let now = self.clock.now();
            if let Some(until) = self.slotted_ban(item, location, now)? {
                let usage = spec.encoding.unpack(word.payload(), now, self.origin);
                let status = QuotaStatus::new(at, false, usage.wait(check.cost()), usage);
                let ban = Some(PolicyBan { policy: 0, until });
                if slot.is_still(word) {
                    return Ok(Decision::of(now, ban, SmallVec::from_buf([status])));
                }
                continue;
            }
            let WordCheck { usage, wait, charged } = spec
                .encoding
                .check(word.payload(), check.cost(), now, self.origin)
                .ok_or(Declined)?;
            if wait != Wait::None && check.may_strike() {
                return Err(Declined);
            }
            let is_done = match charged {
                Some(payload) => slot.replace(word, payload),
                None => slot.is_still(word),
            };
            if is_done {
                return Ok(Decision::of_quota(now, QuotaStatus::new(at, false, wait, usage)));
            }
        }
    }

    /// Admits a check of several quotas of one key, if the slots of all are there and
    /// none refuses, under the lock of their segment.
    fn admit_by_words(
        &self,
        check: &Check<'_>,
        item: Item<'_>,
        counters: &[Counter],
    ) -> Result<Decision, Declined> {
        let location = self.location(&item.subject.key);
        let mut locked = LockedSegments::lock(self, iter::once(location));
        let mut words: SmallVec<[u64; 4]> = SmallVec::new();
        for Counter { spec, id } in counters {
            let id = self.counter_ids.cached(id).ok_or(Declined)?;
            let tag = Tag::counter(location.digest, spec.namespace, id);
            let own = location.of(spec.namespace, &self.table);
            words.push(locked.claim_own(own, tag).ok_or(Declined)?);
        }
        let now = self.clock.now();
        if self.slotted_ban(item, location, now)?.is_some() {
            return Err(Declined);
        }
        let mut statuses = SmallVec::with_capacity(counters.len());
        for (quota, (word, Counter { spec, .. })) in words.iter_mut().zip(counters).enumerate() {
            let checked = spec.encoding.check(*word, check.cost(), now, self.origin);
            let WordCheck { usage, wait, charged } = checked.ok_or(Declined)?;
            *word = charged.ok_or(Declined)?;
            let at = QuotaPosition { policy: 0, quota };
            statuses.push(QuotaStatus::new(at, false, wait, usage));
        }
        locked.write_claimed(&words);
        Ok(Decision::of(now, None, statuses))
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

//! Checks that the memory of this process decides at once.
//!
//! Each way returns by itself, right into its caller's answer: a decision that comes
//! together from several, or is looked at once more, is moved right after it is written,
//! which takes a tenth of a check. So it is recorded before, and callers say by `ready` and
//! `otherwise` what they return with it, and without it.

use super::{
    PolicySet,
    record_decision::{DecidedBy, allowed},
};
use crate::{
    MemoryStore,
    algorithm::{Grains, Wait, Window, Windows, WordUsage},
    check::Check,
    decision::Decision,
    quota::Algorithm,
    request::Subjects,
    store::{BucketCheck, Declined},
};

impl PolicySet {
    /// Decides and records a check of one quota by `gcra`: see
    /// [`MemoryStore::check_one_bucket`].
    #[allow(clippy::inline_always, reason = "see there")]
    #[inline(always)]
    pub(super) fn check_one_bucket<T>(
        &self,
        subjects: &Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce() -> T,
    ) -> T {
        let Some(memory) = &self.inner().memory else { return otherwise() };
        let check = Check::new(self.policies(), subjects, cost);
        match memory.check_one_bucket::<Grains>(&check) {
            Ok(Some(checked)) => self.record_one(subjects, cost, checked, ready),
            Ok(None) => self.check_by_word::<Grains, T>(memory, subjects, cost, ready, otherwise),
            Err(Declined) => otherwise(),
        }
    }

    /// Decides a check of one quota by that algorithm, also while others charge the slot.
    #[inline(never)]
    fn check_by_word<U: WordUsage, T>(
        &self,
        memory: &MemoryStore,
        subjects: &Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce() -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        while let Ok(checked) = memory.check_one_bucket::<U>(&check) {
            if let Some(checked) = checked {
                return self.record_one(subjects, cost, checked, ready);
            }
        }
        otherwise()
    }

    #[allow(clippy::inline_always, reason = "see check_one_bucket")]
    #[inline(always)]
    fn record_one<U: WordUsage, T>(
        &self,
        subjects: &Subjects,
        cost: u64,
        checked: BucketCheck<'_, U>,
        ready: impl Fn(Decision) -> T,
    ) -> T {
        if !checked.is_admitted() {
            return self.refuse(subjects, cost, checked, ready);
        }
        if cost > 0 {
            self.record_one_admitted(checked.is_near_limit());
        }
        ready(checked.admission())
    }

    #[inline(never)]
    fn refuse<U: WordUsage, T>(
        &self,
        subjects: &Subjects,
        cost: u64,
        refused: BucketCheck<'_, U>,
        ready: impl Fn(Decision) -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        self.record_one_refused(&check, refused);
        ready(refused.refusal())
    }

    /// Decides a check of any kind but one quota by `gcra`, if the store is this process's
    /// memory.
    #[inline]
    pub(super) fn check_in_memory<T>(
        &self,
        subjects: &Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce() -> T,
    ) -> T {
        let Some(memory) = &self.inner().memory else { return otherwise() };
        let in_full = || self.check_otherwise(memory, subjects, cost, &ready, otherwise);
        match self.only_algorithm() {
            Some(Algorithm::Gcra) => {
                self.check_newcomer::<Grains, T>(memory, subjects, cost, &ready, in_full)
            }
            Some(Algorithm::FixedWindow) => {
                self.check_by_word::<Window, T>(memory, subjects, cost, &ready, || {
                    self.check_newcomer::<Window, T>(memory, subjects, cost, &ready, in_full)
                })
            }
            Some(Algorithm::SlidingWindow) => {
                self.check_by_word::<Windows, T>(memory, subjects, cost, &ready, || {
                    self.check_newcomer::<Windows, T>(memory, subjects, cost, &ready, in_full)
                })
            }
            Some(Algorithm::StrictWindow) => in_full(),
            None => self.check_several(memory, subjects, cost, &ready, in_full),
        }
    }

    /// The algorithm of the only quota, if there is but one.
    fn only_algorithm(&self) -> Option<Algorithm> {
        let [policy] = self.policies() else { return None };
        let [quota] = &policy.quotas()[..] else { return None };
        Some(quota.algorithm())
    }

    #[inline(never)]
    fn check_newcomer<U: WordUsage, T>(
        &self,
        memory: &MemoryStore,
        subjects: &Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce() -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        match memory.check_newcomer::<U>(&check) {
            Ok(checked) => self.record_one(subjects, cost, checked, ready),
            Err(Declined) => otherwise(),
        }
    }

    #[inline(never)]
    fn check_several<T>(
        &self,
        memory: &MemoryStore,
        subjects: &Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce() -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        let mut slots = memory.slots_check();
        if slots.decide(&check).is_err() {
            return otherwise();
        }
        if !slots.is_admitted() {
            let decision = slots.refusal(cost);
            self.record_decision(&check, &decision, DecidedBy::Store);
            return ready(decision);
        }
        if cost > 0 {
            let counters = self.counters();
            slots.for_each_policy(|policy, is_near_limit| {
                counters[policy].add(allowed(is_near_limit));
            });
        }
        ready(slots.admission())
    }

    /// Decides a check by another than its fast path, which has declined it.
    #[inline(never)]
    fn check_otherwise<T>(
        &self,
        memory: &MemoryStore,
        subjects: &Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce() -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        // An error is met again, and dealt with, on the way through the store.
        let Ok(decision) = memory.decide_any(&check) else { return otherwise() };
        self.record_decision(&check, &decision, DecidedBy::Store);
        ready(decision)
    }

    /// Records that the one policy of a set admits a request.
    #[inline]
    fn record_one_admitted(&self, is_near_limit: bool) {
        if let [counters] = self.counters() {
            counters.add(allowed(is_near_limit));
        }
    }

    /// Records that the one policy of a set refuses a request, without a strike and without
    /// a new ban.
    #[allow(clippy::inline_always, reason = "see check_one_bucket")]
    #[inline(always)]
    fn record_one_refused<U: WordUsage>(&self, check: &Check<'_>, checked: BucketCheck<'_, U>) {
        // Every quota holds one unit.
        if check.cost() > 1 && checked.wait() == Wait::Never {
            self.warn_of_vain_cost(0, check.cost(), &checked.refusal());
        }
        let (quota, now) = (checked.refusing_quota(), checked.host_time());
        self.record_refused_key(0, check.item(0), quota, checked.digest(), now);
    }
}

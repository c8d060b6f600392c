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
    store::{BucketAdmission, BucketCheck, BucketRefusal, Declined, MissingSlot, Undecided},
};

impl PolicySet {
    /// Decides and records a check of one quota by `gcra`: see
    /// [`MemoryStore::check_one_bucket`].
    #[allow(clippy::inline_always, reason = "see there")]
    #[inline(always)]
    pub(super) fn check_one_bucket<'a, T>(
        &'a self,
        subjects: &'a Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce(&'a Self, &'a Subjects, u64) -> T,
    ) -> T {
        let Some(memory) = &self.inner().memory else { return otherwise(self, subjects, cost) };
        let check = Check::new(self.policies(), subjects, cost);
        match memory.check_one_bucket::<Grains>(&check) {
            Ok(BucketCheck::Admitted(admission)) => self.admit_one(cost, admission, ready),
            Ok(BucketCheck::Refused(refusal)) => self.refuse_one(subjects, cost, refusal, ready),
            Err(Undecided::Changed) => {
                self.check_by_word::<Grains, T>(memory, subjects, cost, ready, otherwise)
            }
            Err(Undecided::NoSlot(missing)) => {
                self.check_newcomer::<Grains, T>(memory, missing, subjects, cost, ready, otherwise)
            }
            Err(Undecided::Declined) => otherwise(self, subjects, cost),
        }
    }

    /// Decides a check of one quota by that algorithm, also while others charge the slot.
    #[inline(never)]
    fn check_by_word<'a, U: WordUsage, T>(
        &'a self,
        memory: &MemoryStore,
        subjects: &'a Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce(&'a Self, &'a Subjects, u64) -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        loop {
            match memory.check_one_bucket::<U>(&check) {
                Ok(BucketCheck::Admitted(admission)) => {
                    return self.admit_one(cost, admission, ready);
                }
                Ok(BucketCheck::Refused(refusal)) => {
                    return self.refuse_one(subjects, cost, refusal, ready);
                }
                Err(Undecided::Changed) => {}
                Err(Undecided::NoSlot(missing)) => {
                    return self
                        .check_newcomer::<U, T>(memory, missing, subjects, cost, ready, otherwise);
                }
                Err(Undecided::Declined) => return otherwise(self, subjects, cost),
            }
        }
    }

    #[allow(clippy::inline_always, reason = "see check_one_bucket")]
    #[inline(always)]
    fn admit_one<U: WordUsage, T>(
        &self,
        cost: u64,
        admission: BucketAdmission<'_, U>,
        ready: impl Fn(Decision) -> T,
    ) -> T {
        if cost > 0
            && let [counters] = self.counters()
        {
            counters.add(allowed(admission.is_near_limit()));
        }
        ready(admission.decision())
    }

    #[inline(never)]
    fn refuse_one<U: WordUsage, T>(
        &self,
        subjects: &Subjects,
        cost: u64,
        refusal: BucketRefusal<'_, U>,
        ready: impl Fn(Decision) -> T,
    ) -> T {
        // Every quota holds one unit.
        if cost > 1 && refusal.wait() == Wait::Never {
            self.warn_of_vain_cost(0, cost, &refusal.decision());
        }
        let item = Check::new(self.policies(), subjects, cost).item(0);
        let (quota, now) = (refusal.refusing_quota(), refusal.host_time());
        self.record_refused_key(0, item, quota, refusal.digest(), now);
        ready(refusal.decision())
    }

    /// Decides a check of any kind but one quota by `gcra`, if the store is this process's
    /// memory.
    #[inline]
    pub(super) fn check_in_memory<'a, T>(
        &'a self,
        subjects: &'a Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce(&'a Self, &'a Subjects, u64) -> T,
    ) -> T {
        let Some(memory) = &self.inner().memory else { return otherwise(self, subjects, cost) };
        let in_full = |set: &'a Self, subjects: &'a Subjects, cost| {
            set.check_otherwise(memory, subjects, cost, &ready, otherwise)
        };
        match self.only_algorithm() {
            Some(Algorithm::FixedWindow) => {
                self.check_by_word::<Window, T>(memory, subjects, cost, &ready, in_full)
            }
            Some(Algorithm::SlidingWindow) => {
                self.check_by_word::<Windows, T>(memory, subjects, cost, &ready, in_full)
            }
            Some(Algorithm::Gcra | Algorithm::StrictWindow) => in_full(self, subjects, cost),
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
    fn check_newcomer<'a, U: WordUsage, T>(
        &'a self,
        memory: &MemoryStore,
        missing: MissingSlot<'_>,
        subjects: &'a Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce(&'a Self, &'a Subjects, u64) -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        match memory.check_newcomer::<U>(&check, missing) {
            Ok(BucketCheck::Admitted(admission)) => self.admit_one(cost, admission, ready),
            Ok(BucketCheck::Refused(refusal)) => self.refuse_one(subjects, cost, refusal, ready),
            Err(Declined) => otherwise(self, subjects, cost),
        }
    }

    #[inline(never)]
    fn check_several<'a, T>(
        &'a self,
        memory: &MemoryStore,
        subjects: &'a Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce(&'a Self, &'a Subjects, u64) -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        let mut slots = memory.slots_check();
        if slots.decide(&check).is_err() {
            return otherwise(self, subjects, cost);
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
    fn check_otherwise<'a, T>(
        &'a self,
        memory: &MemoryStore,
        subjects: &'a Subjects,
        cost: u64,
        ready: impl Fn(Decision) -> T,
        otherwise: impl FnOnce(&'a Self, &'a Subjects, u64) -> T,
    ) -> T {
        let check = Check::new(self.policies(), subjects, cost);
        // An error is met again, and dealt with, on the way through the store.
        let Ok(decision) = memory.decide_any(&check) else {
            return otherwise(self, subjects, cost);
        };
        self.record_decision(&check, &decision, DecidedBy::Store);
        ready(decision)
    }
}

//! Checks that the memory of this process decides at once.
//!
//! Each way returns its answer by itself, right into its caller's: a decision that comes
//! together from several, or is looked at once more, is moved right after it is written,
//! which takes a tenth of a check. So it is recorded before, and whoever calls says what is
//! done where memory does not decide.

use super::{
    PolicySet,
    record_decision::{DecidedBy, allowed},
};
use crate::{
    MemoryStore,
    algorithm::{Grains, Wait, Window, Windows, WordUsage},
    check::Check,
    decision::Decision,
    error::Error,
    quota::Algorithm,
    request::Subjects,
    store::{
        Answer, BucketAdmission, BucketCheck, BucketRefusal, Declined, MissingSlot, Undecided,
    },
};

/// Decides a check that memory does not decide. A pointer and no type parameter, by which all
/// of this would be compiled once more.
pub(super) type Otherwise<'a, 'r> =
    fn(&'a PolicySet, &'a Subjects, u64) -> Answer<'r, Decision, Error>;

impl PolicySet {
    /// Decides and records a check, one of one quota by `gcra` right here: see
    /// [`MemoryStore::check_one_bucket`].
    #[allow(clippy::inline_always, reason = "see there")]
    #[inline(always)]
    pub(super) fn check_in_memory<'a, 'r>(
        &'a self,
        subjects: &'a Subjects,
        cost: u64,
        otherwise: Otherwise<'a, 'r>,
    ) -> Answer<'r, Decision, Error> {
        let Some(memory) = &self.inner().memory else { return otherwise(self, subjects, cost) };
        let check = Check::new(self.policies(), subjects, cost);
        match memory.check_one_bucket::<Grains>(&check) {
            Ok(checked) => self.record_one(subjects, cost, checked),
            Err(Undecided::Changed) => {
                self.check_by_word::<Grains>(memory, subjects, cost, otherwise)
            }
            Err(Undecided::NoSlot(missing)) => {
                self.check_newcomer::<Grains>(memory, missing, subjects, cost, otherwise)
            }
            Err(Undecided::Declined) => self.check_any(memory, subjects, cost, otherwise),
        }
    }

    /// Decides a check of one quota by that algorithm, also while others charge the slot.
    #[inline(never)]
    fn check_by_word<'a, 'r, U: WordUsage>(
        &'a self,
        memory: &MemoryStore,
        subjects: &'a Subjects,
        cost: u64,
        otherwise: Otherwise<'a, 'r>,
    ) -> Answer<'r, Decision, Error> {
        let check = Check::new(self.policies(), subjects, cost);
        loop {
            return match memory.check_one_bucket::<U>(&check) {
                Ok(checked) => self.record_one(subjects, cost, checked),
                Err(Undecided::Changed) => continue,
                Err(Undecided::NoSlot(missing)) => {
                    self.check_newcomer::<U>(memory, missing, subjects, cost, otherwise)
                }
                Err(Undecided::Declined) => self.check_in_full(memory, subjects, cost, otherwise),
            };
        }
    }

    #[inline(never)]
    fn check_newcomer<'a, 'r, U: WordUsage>(
        &'a self,
        memory: &MemoryStore,
        missing: MissingSlot<'_>,
        subjects: &'a Subjects,
        cost: u64,
        otherwise: Otherwise<'a, 'r>,
    ) -> Answer<'r, Decision, Error> {
        let check = Check::new(self.policies(), subjects, cost);
        match memory.check_newcomer::<U>(&check, missing) {
            Ok(checked) => self.record_one(subjects, cost, checked),
            Err(Declined) => self.check_in_full(memory, subjects, cost, otherwise),
        }
    }

    #[allow(clippy::inline_always, reason = "see check_in_memory")]
    #[inline(always)]
    fn record_one<'r, U: WordUsage>(
        &self,
        subjects: &Subjects,
        cost: u64,
        checked: BucketCheck<'_, U>,
    ) -> Answer<'r, Decision, Error> {
        match checked {
            BucketCheck::Admitted(admission) => self.admit_one(cost, admission),
            BucketCheck::Refused(refusal) => self.refuse_one(subjects, cost, refusal),
        }
    }

    #[allow(clippy::inline_always, reason = "see check_in_memory")]
    #[inline(always)]
    fn admit_one<'r, U: WordUsage>(
        &self,
        cost: u64,
        admission: BucketAdmission<'_, U>,
    ) -> Answer<'r, Decision, Error> {
        if cost > 0
            && let [counters] = self.counters()
        {
            counters.add(allowed(admission.is_near_limit()));
        }
        Answer::ready(Ok(admission.decision()))
    }

    #[inline(never)]
    fn refuse_one<'r, U: WordUsage>(
        &self,
        subjects: &Subjects,
        cost: u64,
        refusal: BucketRefusal<'_, U>,
    ) -> Answer<'r, Decision, Error> {
        // Every quota holds one unit.
        if cost > 1 && refusal.wait() == Wait::Never {
            self.warn_of_vain_cost(0, cost, &refusal.decision());
        }
        let item = Check::new(self.policies(), subjects, cost).item(0);
        let (quota, now) = (refusal.refusing_quota(), refusal.host_time());
        self.record_refused_key(0, item, quota, refusal.digest(), now);
        Answer::ready(Ok(refusal.decision()))
    }

    /// Decides a check of any kind but one quota by `gcra`.
    #[inline(never)]
    fn check_any<'a, 'r>(
        &'a self,
        memory: &MemoryStore,
        subjects: &'a Subjects,
        cost: u64,
        otherwise: Otherwise<'a, 'r>,
    ) -> Answer<'r, Decision, Error> {
        if self.policies().is_empty() {
            return Answer::ready(Ok(Decision::uncounted()));
        }
        match self.only_algorithm() {
            Some(Algorithm::FixedWindow) => {
                self.check_by_word::<Window>(memory, subjects, cost, otherwise)
            }
            Some(Algorithm::SlidingWindow) => {
                self.check_by_word::<Windows>(memory, subjects, cost, otherwise)
            }
            Some(Algorithm::Gcra | Algorithm::StrictWindow) => {
                self.check_in_full(memory, subjects, cost, otherwise)
            }
            None => self.check_several(memory, subjects, cost, otherwise),
        }
    }

    /// The algorithm of the only quota, if there is but one.
    fn only_algorithm(&self) -> Option<Algorithm> {
        let [policy] = self.policies() else { return None };
        let [quota] = &policy.quotas()[..] else { return None };
        Some(quota.algorithm())
    }

    #[inline]
    fn check_several<'a, 'r>(
        &'a self,
        memory: &MemoryStore,
        subjects: &'a Subjects,
        cost: u64,
        otherwise: Otherwise<'a, 'r>,
    ) -> Answer<'r, Decision, Error> {
        let check = Check::new(self.policies(), subjects, cost);
        let mut slots = memory.slots_check();
        if slots.decide(&check).is_err() {
            return self.check_in_full(memory, subjects, cost, otherwise);
        }
        if !slots.is_admitted() {
            let decision = slots.refusal(cost);
            self.record_decision(&check, &decision, DecidedBy::Store);
            return Answer::ready(Ok(decision));
        }
        if cost > 0 {
            let counters = self.counters();
            slots.for_each_policy(|policy, is_near_limit| {
                counters[policy].add(allowed(is_near_limit));
            });
        }
        Answer::ready(Ok(slots.admission()))
    }

    /// Decides a check by another than its fast path, which has declined it.
    #[inline(never)]
    fn check_in_full<'a, 'r>(
        &'a self,
        memory: &MemoryStore,
        subjects: &'a Subjects,
        cost: u64,
        otherwise: Otherwise<'a, 'r>,
    ) -> Answer<'r, Decision, Error> {
        let check = Check::new(self.policies(), subjects, cost);
        // An error is met again, and dealt with, on the way through the store.
        let Ok(decision) = memory.decide_any(&check) else {
            return otherwise(self, subjects, cost);
        };
        self.record_decision(&check, &decision, DecidedBy::Store);
        Answer::ready(Ok(decision))
    }
}

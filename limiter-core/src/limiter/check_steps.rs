//! The steps of one check: this process's memory decides at once; otherwise a refusal that
//! is known already, then a lease, then the store, and where that fails the fallback.

use std::time::Instant;

use tracing::Instrument;

use super::{
    PolicySet,
    check_span::{check_span, record_verdict},
    record_decision::DecidedBy,
};
use crate::{
    check::Check,
    decision::Decision,
    error::{Error, StoreError},
    outage_usage::OutageUsage,
    request::Subjects,
    stats::counters::LimiterCounter,
    store::Answer,
};

impl PolicySet {
    /// Decides a request of that cost, and charges it if it is admitted.
    /// A cost of 0 looks without writing.
    ///
    /// The subjects are those of this set, in its order, from
    /// [`resolve_subjects`](Self::resolve_subjects). Those of policies that are off
    /// may be among them, and are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails and a policy says `deny`;
    /// [`Error::Overloaded`] if more requests wait for the store than it can answer.
    ///
    /// # Panics
    /// If there are not as many subjects as policies.
    pub fn check<'a>(&'a self, subjects: &'a Subjects, cost: u64) -> Answer<'a, Decision, Error> {
        if subjects.len() != self.policies().len() {
            let active = self.active(subjects.clone());
            assert_eq!(active.len(), self.policies().len(), "each policy needs its subject");
            return Answer::Pending(Box::pin(async move { self.check(&active, cost).await }));
        }
        #[cfg(feature = "memory")]
        let answer = self.check_in_memory(subjects, cost, Self::check_by_store);
        #[cfg(not(feature = "memory"))]
        let answer = self.check_by_store(subjects, cost);
        answer
    }

    /// Decides a check by the deny cache, or else by a lease, or else by the store.
    fn check_by_store<'a>(
        &'a self,
        subjects: &'a Subjects,
        cost: u64,
    ) -> Answer<'a, Decision, Error> {
        if self.policies().is_empty() {
            return Answer::ready(Ok(Decision::uncounted()));
        }
        let check = Check::new(self.policies(), subjects, cost);
        if let Some(refusal) = self.fallback().known_refusal(&check) {
            self.record_decision(&check, &refusal, DecidedBy::DenyCache);
            return Answer::ready(Ok(refusal));
        }
        #[cfg(feature = "_shared")]
        if self.has_lease() && cost > 0 {
            return self.check_leased(subjects, cost);
        }
        let usage = self.fallback().take_outage_usage(&check);
        if !usage.is_empty() {
            return Answer::Pending(Box::pin(self.reconcile(subjects.clone(), cost, usage)));
        }
        self.ask_store(check)
    }

    /// Decides a check by the store, or where that fails without it.
    pub(super) fn ask_store<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision, Error> {
        match self.inner().store.decide(check) {
            // A store that answers at once needs no deny cache.
            Answer::Ready(Some(Ok(decision))) => {
                self.record_decision(&check, &decision, DecidedBy::Store);
                Answer::ready(Ok(decision))
            }
            answer => Answer::Pending(Box::pin(self.await_decision(check, answer))),
        }
    }

    /// Decides the check at once if the store is this process's memory. Otherwise the answer is
    /// an empty one, and nothing has happened.
    #[cfg_attr(not(feature = "memory"), allow(unused_variables))]
    #[inline]
    pub(super) fn check_at_once(
        &self,
        subjects: &Subjects,
        cost: u64,
    ) -> Answer<'static, Decision, Error> {
        #[cfg(feature = "memory")]
        let answer = self.check_in_memory(subjects, cost, |set, _, _| set.check_nowhere());
        #[cfg(not(feature = "memory"))]
        let answer = self.check_nowhere();
        answer
    }

    /// Admits where there is no policy, else returns an empty answer.
    fn check_nowhere(&self) -> Answer<'static, Decision, Error> {
        Answer::Ready(self.policies().is_empty().then(|| Ok(Decision::uncounted())))
    }

    /// Checks, and charges the usage of an outage before. To its end: a client that
    /// hangs up does not get rid of its usage.
    pub(super) async fn reconcile(
        &self,
        subjects: Subjects,
        cost: u64,
        usage: Vec<Option<OutageUsage>>,
    ) -> Result<Decision, Error> {
        let set = self.clone();
        let work = async move {
            let check = Check::new(set.policies(), &subjects, cost).with_outage_usage(&usage);
            set.await_decision(check, set.inner().store.decide(check)).await
        };
        let ended = || Error::Unavailable(StoreError::new("its runtime has ended"));
        self.inner().runtime.finish(Box::pin(work)).await.unwrap_or_else(|| Err(ended()))
    }

    /// Waits for the store's decision within a span, and learns from it; or decides without
    /// the store.
    pub(super) async fn await_decision(
        &self,
        check: Check<'_>,
        answer: Answer<'_, Decision>,
    ) -> Result<Decision, Error> {
        let span = check_span(&check);
        let decided = self.decide_by_store(check, answer).instrument(span.clone()).await;
        record_verdict(&span, &decided);
        decided
    }

    async fn decide_by_store(
        &self,
        check: Check<'_>,
        answer: Answer<'_, Decision>,
    ) -> Result<Decision, Error> {
        let sent = Instant::now();
        match answer.await {
            Ok(decision) => {
                self.fallback().observe_decision(&check, &decision, sent);
                self.record_decision(&check, &decision, DecidedBy::Store);
                Ok(decision)
            }
            Err(error) => self.decide_without_store(&check, error).await,
        }
    }

    pub(super) async fn decide_without_store(
        &self,
        check: &Check<'_>,
        error: StoreError,
    ) -> Result<Decision, Error> {
        self.inner().counters.add(LimiterCounter::of_store_error(error.kind()));
        self.fallback().failed(check, &error);
        if let Some(refusal) = self.fallback().refusal_while_away(check) {
            self.record_decision(check, &refusal, DecidedBy::DenyCache);
            return Ok(refusal);
        }
        match self.fallback().decide(check, error).await {
            Ok(decision) => {
                self.record_decision(check, &decision, DecidedBy::Fallback);
                Ok(decision)
            }
            Err(error) => {
                self.record_error(&error);
                Err(error)
            }
        }
    }
}

//! Checks whose decision is not at hand: the store is waited for, and where it fails the
//! fallback decides.

use std::time::Instant;

use super::{PolicySet, record_decision::DecidedBy};
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

    /// Waits for the store's decision and learns from it, or decides without the store.
    pub(super) async fn await_decision(
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

    async fn decide_without_store(
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

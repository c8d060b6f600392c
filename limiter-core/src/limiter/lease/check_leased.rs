//! Checks by policies with leases: from the slice, else with a new slice, else by the store alone.

use std::time::Instant;

use tracing::Instrument;

use super::tracked_key::SliceRequest;
use crate::{
    check::Check,
    decision::Decision,
    error::{Error, StoreError},
    limiter::{
        PolicySet,
        check_span::{check_span, record_verdict},
        record_decision::DecidedBy,
    },
    request::Subjects,
    store::Answer,
};

impl PolicySet {
    /// Decides a check of a set whose policies all have leases.
    pub(in crate::limiter) fn check_leased<'a>(
        &'a self,
        subjects: &'a Subjects,
        cost: u64,
    ) -> Answer<'a, Decision, Error> {
        let leases = &self.inner().leases;
        let (check, now) = (Check::new(self.policies(), subjects, cost), leases.now());
        let Some(key) = leases.track(&check, now) else { return self.ask_store(check) };
        if let Some(decision) = key.admit(cost, now) {
            self.record_decision(&check, &decision, DecidedBy::Lease);
            return Answer::ready(Ok(decision));
        }
        let usage = self.fallback().take_outage_usage(&check);
        if !usage.is_empty() {
            return Answer::Pending(Box::pin(self.reconcile(subjects.clone(), cost, usage)));
        }
        if let Some(request) = key.begin_slice(cost, now) {
            let decided = self.check_with_slice(subjects.clone(), cost, request);
            return Answer::Pending(Box::pin(decided));
        }
        match self.ask_store(check) {
            Answer::Ready(decided) => {
                decided.iter().flatten().for_each(|decision| key.note_room(decision, now));
                Answer::Ready(decided)
            }
            Answer::Pending(decided) => Answer::Pending(Box::pin(async move {
                decided.await.inspect(|decision| key.note_room(decision, now))
            })),
        }
    }

    /// Checks, and takes a slice with the same charge. It goes on if its client hangs up, since
    /// the slice is for all others.
    async fn check_with_slice(
        &self,
        subjects: Subjects,
        cost: u64,
        request: SliceRequest,
    ) -> Result<Decision, Error> {
        let set = self.clone();
        let work = async move {
            let check = Check::new(set.policies(), &subjects, cost);
            let span = check_span(&check);
            let decided = set.decide_with_slice(check, &subjects, request);
            let decided = decided.instrument(span.clone()).await;
            record_verdict(&span, &decided);
            decided
        };
        let ended = || Error::Unavailable(StoreError::new("its runtime has ended"));
        self.inner().runtime.finish(Box::pin(work)).await.unwrap_or_else(|| Err(ended()))
    }

    async fn decide_with_slice(
        &self,
        check: Check<'_>,
        subjects: &Subjects,
        request: SliceRequest,
    ) -> Result<Decision, Error> {
        let inner = self.inner();
        let (called, sent) = (Instant::now(), inner.leases.now());
        let units = check.cost().saturating_add(request.units());
        let charge = Check::new(self.slice_policies(), subjects, units);
        match inner.store.decide(charge).await {
            Ok(charged) if charged.is_allowed() => {
                self.fallback().observe_decision(&check, &charged, called);
                let decision = charged.without_last(request.units());
                self.limiter().keep_slice(request.granted(charged, sent));
                self.record_decision(&check, &decision, DecidedBy::Store);
                Ok(decision)
            }
            // There is room for the request alone, perhaps; and this charge strikes nobody.
            Ok(_) => {
                let key = request.refused();
                let sent = inner.leases.now();
                self.ask_store(check).await.inspect(|decision| key.note_room(decision, sent))
            }
            Err(error) => {
                request.failed();
                self.decide_without_store(&check, error).await
            }
        }
    }
}

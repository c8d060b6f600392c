//! Counting what admitted requests came to.

use super::{Permit, PolicySet, RecordResponse};
use crate::{
    check::{Check, Item, Subject},
    events::BanCause,
    policy::{Mode, Policy},
    stats::counters::{LimiterCounter, PolicyCounter},
    time::Timestamp,
};

impl Permit {
    /// Counts what the request came to: a strike, where a policy's ban rule names
    /// that response status. Whoever the request has been a strike against
    /// already takes none.
    ///
    /// A request that was given up has no status: 499 stands for a
    /// client that hung up, as in nginx's log, and 500 for a handler that
    /// panicked.
    pub fn record_response(&self, status: u16) -> RecordResponse {
        let policies = self.policies();
        let strikes = |policy: &Policy| policy.ban().is_some_and(|rule| rule.strikes_on(status));
        if !policies.policies().iter().any(strikes) {
            return RecordResponse::done();
        }
        let mut offenders = Check::new(policies.policies(), self.subjects(), 1).offenders(status);
        offenders.retain(|item| self.strike(item));
        if offenders.is_empty() {
            return RecordResponse::done();
        }
        let owned = offenders.iter().map(|item| (item.policy.clone(), item.subject.clone()));
        let (set, struck): (_, Vec<_>) = (policies.clone(), owned.collect());
        let strike = async move { set.strike(&struck).await };
        RecordResponse::begin(Box::pin(strike), policies.inner().runtime.clone())
    }
}

impl PolicySet {
    async fn strike(&self, struck: &[(Policy, Subject)]) {
        let offenders: Vec<_> =
            struck.iter().map(|(policy, subject)| Item { policy, subject }).collect();
        let bans = match self.strike_in_store(offenders.clone()).await {
            Some(bans) => bans.into_iter().map(Some).collect(),
            None => self.fallback().strike(offenders.clone()).await,
        };
        for (item, struck) in offenders.iter().zip(bans) {
            self.record_response_strike(*item, struck);
        }
    }

    /// Records a strike, and the end of the ban that it brought; `None` if it is lost.
    fn record_response_strike(&self, item: Item<'_>, struck: Option<Option<Timestamp>>) {
        let Some(ban) = struck else {
            return self.inner().counters.add(LimiterCounter::LostStrikes);
        };
        let is_shadow = item.policy.mode() == Mode::Shadow;
        let counter = if is_shadow { PolicyCounter::ShadowStrikes } else { PolicyCounter::Strikes };
        self.inner().counters.of_policy(item.policy.reported_name()).add(counter);
        if let Some(until) = ban {
            self.inner().record_ban(item, until, BanCause::Responses);
        }
    }

    /// Strikes in the store; `None` if it fails.
    async fn strike_in_store(&self, offenders: Vec<Item<'_>>) -> Option<Vec<Option<Timestamp>>> {
        let struck = self.inner().store.strike(offenders).await;
        if let Err(error) = &struck {
            self.inner().counters.add(LimiterCounter::of_store_error(error.kind()));
        }
        struck.ok()
    }
}

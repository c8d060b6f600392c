//! The outcome of requests that arrive at once, when the client or the store is gone,
//! and when they stream.

mod at_once;
mod attacks;
mod by_hand;
mod charges;
mod charges_while_streaming;
mod lost;
mod resets;
mod stopped;
mod storm;

use std::time::Duration;

use limiter_core::{
    Admission, AdmitOptions, BanRule, Key, Limiter, Permit, Policy, PolicySet, Store,
};

use crate::test_request;

const CLIENT: &str = "192.0.2.1";
const HOUR: Duration = Duration::from_secs(3_600);

/// Returns a limiter of one policy.
async fn limiter(store: impl Store, policy: Policy) -> Limiter {
    Limiter::builder().store(store).policy(policy).build().await.unwrap()
}

/// A ban rule for wrong passwords that reserves strikes.
fn reserving(threshold: u64) -> BanRule {
    let rule = BanRule::after_strikes(threshold).within(HOUR).for_duration(HOUR).unwrap();
    rule.with_statuses([401]).unwrap().with_refusals(false).with_reserve(true)
}

/// Admits a request of the client that all tests here share; `None` if it is refused.
async fn admit(policies: &PolicySet, cost: u64) -> Option<Permit> {
    let request = test_request::from(CLIENT);
    let options = AdmitOptions::default().with_cost(cost);
    policies.admit(&request, options).await.ok().as_ref().and_then(Admission::permit).cloned()
}

/// Units that the client has left of the only quota.
async fn left(policies: &PolicySet) -> u64 {
    let subjects = policies.subjects_of(&Key::ip(CLIENT.parse().unwrap()));
    policies.check(&subjects, 0).await.unwrap().quotas()[0].remaining()
}

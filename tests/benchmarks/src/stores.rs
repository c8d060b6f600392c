//! Stores that servers share, beside their peers.

pub(crate) mod redis;
pub(crate) mod settlement;
pub(crate) mod sql;

use std::time::Duration;

use limiter_core::{BanRule, Key, Limiter, Policy, PolicySet, Quota, Quotas, RemoteStore};
use tokio::runtime::Runtime;

use crate::{
    load::{Load, alone, throughput},
    node::{Flexible, Work},
    options::Pace,
    rounds::Contender,
};

/// How many keys are asked for where there are many.
const KEYS: usize = 10_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// The figures of one store.
#[derive(Clone, Copy)]
enum Measure {
    /// Checks a second.
    Throughput(Load),
    /// The median of microseconds a check, one after the other.
    Alone,
}

/// Our policy on a store: one quota by `gcra` with a ban rule, which is never
/// reached. Server errors are given back.
#[derive(Clone)]
struct Ours(PolicySet);

impl Ours {
    async fn connect(url: &str) -> Self {
        Self::connect_as(url, "api").await
    }

    async fn connect_as(url: &str, name: &str) -> Self {
        let quota = Quota::per_hour(1_000_000_000).expect("it is one");
        Self::connect_with(url, name, quota).await
    }

    async fn connect_with(url: &str, name: &str, quotas: impl Into<Quotas>) -> Self {
        // Nothing is to be given up because the machine is busy.
        let store = RemoteStore::builder(url).prefix("compare").timeout(Duration::from_secs(10));
        let store = store.connect().await.expect("the server was started");
        let rule = BanRule::after_strikes(10).within(HOUR).for_duration(HOUR).expect("it is one");
        let policy = Policy::new(name, quotas).expect("it is one").with_ban(rule);
        let policy = policy.with_refund(["5xx"]).expect("it is a class");
        let limiter = Limiter::builder().store(store).policy(policy).build().await;
        Self(limiter.expect("they fit").policy(name).expect("it was just named"))
    }

    /// Asks for a key, and expects the store's own answer.
    async fn ask(&self, key: usize) {
        let subjects = self.0.subjects_of(&user(key));
        let decision = self.0.check(&subjects, 1).await.expect("the store answers");
        assert!(decision.is_allowed() && !decision.quotas().is_empty());
    }

    /// Asks for a key that is banned.
    async fn ask_banned(&self, key: usize) {
        let subjects = self.0.subjects_of(&user(key));
        let decision = self.0.check(&subjects, 1).await.expect("the store answers");
        assert!(!decision.is_allowed());
    }

    /// Returns how many calls of the server its limiter has made.
    fn calls(&self) -> u64 {
        self.0.limiter().server_health().iter().map(|server| server.calls.calls).sum()
    }

    fn contender<'a>(
        &'a self,
        runtime: &'a Runtime,
        pace: &Pace,
        measure: Measure,
    ) -> Contender<'a> {
        let time = pace.time;
        Box::new(move || match measure {
            Measure::Alone => runtime.block_on(alone(time, |key| self.ask(key))),
            Measure::Throughput(load) => {
                let ours = self.clone();
                let ask = move |key| {
                    let ours = ours.clone();
                    async move { ours.ask(key).await }
                };
                runtime.block_on(throughput(time, load, ask))
            }
        })
    }
}

fn user(key: usize) -> Key {
    Key::user(&key.to_string())
}

/// `rate-limiter-flexible`, measured by itself in the same way.
fn flexible<'a>(
    flexible: &'a Flexible,
    url: &'a str,
    pace: &Pace,
    measure: Measure,
) -> Contender<'a> {
    let time = pace.time;
    Box::new(move || match measure {
        Measure::Alone => {
            flexible.measure(url, Work { load: Load { keys: 100, in_flight: 1 }, time }).1
        }
        Measure::Throughput(load) => flexible.measure(url, Work { load, time }).0,
    })
}

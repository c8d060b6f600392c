//! A store whose answers come later and later.

use std::time::{Duration, Instant};

use limiter_core::{Error, Key, Limiter, Policy, Quota, RemoteStore, Verdict};
use tokio::{runtime, task::JoinSet};

use super::{Form, WAYS, alone, assert_none, tasks::HealthWatch};
use crate::{
    databases::{redis_url, unique},
    real_servers::{Mode, Proxy},
};

const LIMIT: u32 = 20;

/// The timeout of the store: longer in the short form, where a busy machine is late, too.
fn timeout(form: Form) -> Duration {
    Duration::from_millis(if form == Form::Long { 100 } else { 1_000 })
}

/// How late answers are, in percent of the timeout.
const DELAYS: [u32; 5] = [20, 50, 70, 90, 150];

/// A server that answers within so much of the timeout is no reason to do without it:
/// Redis ends a call itself after 80 %.
const IN_TIME: u32 = 70;

/// Which of the ways to do without the store admitted how much to one client,
/// and the changes of health meanwhile.
#[derive(Debug)]
struct Outcome {
    admitted: [u32; 3],
    changes: u32,
}

#[test]
fn a_slow_store_degrades_once() {
    let _storm = alone();
    let (url, form) = (redis_url(), Form::from_environment());
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut faults = Vec::new();
    for percent in DELAYS {
        let delay = timeout(form) * percent / 100;
        for &checks_per_second in form.rates() {
            let proxy = Proxy::start(url);
            let limiter = runtime.block_on(limiter(&proxy.url(url), timeout(form)));
            proxy.set(Mode::Delay(delay));
            let watch = HealthWatch::start(&limiter);
            let admitted = runtime.block_on(load(&limiter, checks_per_second, form.time()));
            let outcome = Outcome { admitted, changes: watch.stop() };
            let seen = format!("{delay:?} at {checks_per_second} checks/s: {outcome:?}");
            println!("{seen}");
            outcome.check(percent, &seen, &mut faults);
        }
    }
    assert_none(&faults);
}

impl Outcome {
    fn check(&self, percent: u32, seen: &str, faults: &mut Vec<String>) {
        let [local, allow, deny] = self.admitted;
        let checks = [
            ("health flaps", self.changes <= 2),
            ("local admits more than twice the limit", local <= 2 * LIMIT),
            ("deny admits more than the limit", deny <= LIMIT),
            // In time, so nothing is decided without the store.
            ("the store counts as failed", self.changes == 0 || percent > IN_TIME),
            ("allow admits more than the limit", allow <= LIMIT || percent > IN_TIME),
        ];
        let broken = checks.iter().filter(|(_, holds)| !holds);
        faults.extend(broken.map(|(fault, _)| format!("{fault}: {seen}")));
    }
}

async fn limiter(url: &str, timeout: Duration) -> Limiter {
    let store = RemoteStore::builder(url).prefix(&unique("storm")).timeout(timeout);
    let mut builder = Limiter::builder().store(store.connect().await.unwrap());
    for (name, way) in WAYS {
        let policy = Policy::new(name, Quota::per_hour(LIMIT.into()).unwrap()).unwrap();
        builder = builder.policy(policy.with_on_store_error(way));
    }
    builder.build().await.unwrap()
}

/// Checks that often, a third of them by each policy; every second one is the
/// same client's. Returns how many of that client's were admitted.
async fn load(limiter: &Limiter, checks_per_second: u32, time: Duration) -> [u32; 3] {
    let policies = WAYS.map(|(name, _)| limiter.policy(name).unwrap());
    let (start, mut sent) = (Instant::now(), 0_usize);
    let mut tasks = JoinSet::new();
    while start.elapsed() < time {
        let due = start.elapsed().as_millis() * u128::from(checks_per_second) / 1_000;
        while (sent as u128) < due {
            let way = sent % WAYS.len();
            let policy = policies[way].clone();
            let is_mallory = (sent / 3).is_multiple_of(2);
            let user = if is_mallory { "mallory".to_owned() } else { format!("user{sent}") };
            tasks.spawn(async move {
                let subjects = policy.subjects_of(&Key::user(&user));
                match policy.check(&subjects, 1).await.map(|decision| decision.verdict()) {
                    Ok(Verdict::Allowed) => is_mallory.then_some(way),
                    Ok(_) | Err(Error::Unavailable(_) | Error::Overloaded { .. }) => None,
                    Err(error) => panic!("{error}"),
                }
            });
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut admitted = [0; 3];
    for way in tasks.join_all().await.into_iter().flatten() {
        admitted[way] += 1;
    }
    admitted
}

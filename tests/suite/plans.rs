//! Plans: the quotas of one request, on every store.

use std::{
    io::Write,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use limiter_core::{
    Decision, Key, Limiter, ManualClock, MemoryStore, Policy, PolicySet, Quotas, Retry, Store,
    Subjects, Timestamp,
};
use tokio::runtime::Runtime;

use crate::{
    alone::alone,
    databases::{builder, clocked_store, on_databases, unique},
    switchable_store::SwitchableStore,
};

on_databases! {
    each_plan_is_exact_over_two_instances
    a_changed_plan_keeps_what_was_used
}

#[test]
fn in_memory_each_plan_is_exact() {
    let store = MemoryStore::new();
    Runtime::new().unwrap().block_on(async {
        let instances = [instance(store.clone(), "api").await, instance(store, "api").await];
        assert_exact(instances).await;
    });
}

#[test]
fn in_memory_a_changed_plan_keeps_what_was_used() {
    let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
    let store = MemoryStore::builder().clock(clock.clone()).build();
    Runtime::new().unwrap().block_on(assert_kept(store, clock, "api"));
}

fn quotas(text: &str) -> Quotas {
    text.parse().unwrap()
}

/// A limiter with the free plan as its policy's own quotas.
async fn instance(store: impl Store, name: &str) -> Limiter {
    let policy = Policy::new(name, "5/hour").unwrap();
    Limiter::builder().store(store).policy(policy).build().await.unwrap()
}

/// The policy's own quotas, and those of a plan.
fn plan(limiter: &Limiter, plan: &str) -> PolicySet {
    let name = limiter.policy_names().swap_remove(0);
    let free = limiter.policy(&name).unwrap();
    free.with_quotas(&name, &quotas(plan)).unwrap()
}

fn user(name: &str) -> Subjects {
    [limiter_core::Subject::new(Key::user(name))].into_iter().collect()
}

async fn check(set: &PolicySet, client: &str, cost: u64) -> Decision {
    set.check(&user(client), cost).await.unwrap()
}

/// How many of 64 tasks for each instance are admitted.
async fn admitted(instances: &[Limiter; 2], quotas: &str, client: &str) -> u64 {
    admitted_by(instances, [quotas; 2], client).await.iter().sum()
}

/// How many of 64 tasks each instance admits, which has quotas of its own.
async fn admitted_by(instances: &[Limiter; 2], quotas: [&str; 2], client: &str) -> [u64; 2] {
    let tasks: Vec<_> = (0..128)
        .map(|task| {
            let set = plan(&instances[task % 2], quotas[task % 2]);
            let client = client.to_owned();
            tokio::spawn(async move { check(&set, &client, 1).await.is_allowed() })
        })
        .collect();
    let mut admitted = [0; 2];
    for (task, is_admitted) in tasks.into_iter().enumerate() {
        admitted[task % 2] += u64::from(is_admitted.await.unwrap());
    }
    admitted
}

fn each_plan_is_exact_over_two_instances(url: &str) {
    let prefix = unique("plans");
    Runtime::new().unwrap().block_on(async {
        let instance = async || {
            let store = builder(url, &prefix).connect().await.unwrap();
            instance(store, "api").await
        };
        assert_exact([instance().await, instance().await]).await;
    });
}

async fn assert_exact(instances: [Limiter; 2]) {
    assert_eq!(admitted(&instances, "5/hour", "free").await, 5);
    assert_eq!(admitted(&instances, "50/hour", "pro").await, 50);
    // The client of the free plan pays: what it has used counts.
    assert_eq!(admitted(&instances, "50/hour", "free").await, 45);
    // Other windows have a counter of their own.
    assert_eq!(admitted(&instances, "7/day", "free").await, 7);
    // As while a configuration is rolled out that has one quota more: both count in the
    // one that they share, and neither loses what the other does not know.
    let [old, new] = ["20/hour", "20/hour; 1000/day"];
    let [by_old, by_new] = admitted_by(&instances, [old, new], "rollout").await;
    assert_eq!(by_old + by_new, 20);
    let look = check(&plan(&instances[0], new), "rollout", 0).await;
    assert_eq!(look.quotas()[1].remaining(), 1_000 - by_new);
}

fn a_changed_plan_keeps_what_was_used(url: &str) {
    let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
    Runtime::new().unwrap().block_on(async {
        let store = clocked_store(url, &unique("plans"), clock.clone()).await;
        assert_kept(store, clock, "api").await;
    });
}

/// From a plan of 50 to one of 5 once 20 are used: refused, and admitted exactly when
/// the refusal has said.
async fn assert_kept(store: impl Store, clock: ManualClock, name: &str) {
    let limiter = instance(store, name).await;
    let (free, pro) = (plan(&limiter, "5/hour"), plan(&limiter, "50/hour"));
    assert_eq!(check(&pro, "alice", 20).await.quotas()[0].remaining(), 30);
    let refused = check(&free, "alice", 1).await;
    // 16 units have to be paid back, at the rate at which they were charged.
    let wait = Duration::from_secs(16 * 3_600 / 50);
    assert_eq!((refused.is_allowed(), refused.retry()), (false, Retry::After(wait)));
    // Longer than the deny cache answers.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    clock.advance(wait - Duration::from_micros(1));
    assert!(!check(&free, "alice", 1).await.is_allowed());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    clock.advance(Duration::from_micros(1));
    assert!(check(&free, "alice", 1).await.is_allowed());
}

/// A refusal under a small limit is not the answer to a request under a large one.
#[tokio::test]
async fn the_deny_cache_tells_plans_apart() {
    let store = SwitchableStore::default();
    let limiter = instance(store.clone(), "api").await;
    let (free, pro) = (plan(&limiter, "5/hour"), plan(&limiter, "5000/hour"));
    assert!(check(&free, "alice", 5).await.is_allowed());
    for _ in 0..1_000 {
        assert!(!check(&free, "alice", 1).await.is_allowed());
        assert!(check(&pro, "alice", 1).await.is_allowed());
    }
    // The refusals were answered from the cache, but for one a second.
    assert!(store.asked.load(Ordering::Relaxed) < 1_500);
}

/// Units admitted in an outage under one plan are charged under another one, in
/// units.
#[tokio::test]
async fn an_outage_is_charged_under_another_plan() {
    for (algorithm, after, left) in [
        ("gcra", "100/hour", 79),
        ("fixed_window", "100/hour", 79),
        ("sliding_window", "100/hour", 79),
        ("gcra", "21/hour", 0),
        ("fixed_window", "21/hour", 0),
    ] {
        let algorithm = algorithm.parse().unwrap();
        let of = |text: &str| quotas(text).with_algorithm(algorithm).unwrap();
        let store = SwitchableStore::default();
        let policy = Policy::new("api", of("5/hour")).unwrap();
        let limiter = Limiter::builder().store(store.clone()).policy(policy).build().await.unwrap();
        let free = limiter.policy("api").unwrap();
        let plan = |text: &str| free.with_quotas("api", &of(text)).unwrap();
        // The store is known to answer, then it does not.
        assert!(check(&plan("50/hour"), "bob", 1).await.is_allowed());
        store.off.store(true, Ordering::Relaxed);
        for _ in 0..20 {
            assert!(check(&plan("50/hour"), "alice", 1).await.is_allowed());
        }
        store.off.store(false, Ordering::Relaxed);
        // The breaker lets one through after a while.
        let later = loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if limiter.health() == limiter_core::Health::Healthy {
                break check(&plan(after), "alice", 1).await;
            }
            let _ = check(&plan(after), "carol", 1).await;
        };
        let remaining = later.quotas()[0].remaining();
        assert_eq!((later.is_allowed(), remaining), (true, left), "{algorithm:?} {after}");
        assert!(!check(&free, "alice", 1).await.is_allowed());
    }
}

/// The count of the address beside a header is scaled with the plan.
#[tokio::test]
async fn the_address_beside_a_header_is_scaled() {
    let policy = Policy::new("api", "5/hour").unwrap();
    let policy = policy.with_key("header:x-api-key").unwrap().with_per_address(2).unwrap();
    let limiter = Limiter::builder().policy(policy).build().await.unwrap();
    let set = plan(&limiter, "7/hour");
    let limits: Vec<u64> = set.policies().iter().map(|policy| policy.quotas()[0].limit()).collect();
    assert_eq!(limits, [7, 14]);
    assert_eq!(set.policy_field().unwrap().matches("q=7;").count(), 1);
    assert!(limiter.policy("api").unwrap().with_quotas("other", &quotas("7/hour")).is_err());
}

/// A hundred thousand limits, of as many clients that all count: no error, no more
/// memory than the bound, and one warning.
#[test]
fn limits_without_number_are_bounded_and_warned_of_once() {
    alone("plans::limits_without_number_are_bounded_and_warned_of_once", limits_without_number);
}

fn limits_without_number() {
    let log = Lines::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::builder().max_keys(400_000).build();
            let limiter = instance(store, "api").await;
            let free = limiter.policy("api").unwrap();
            let before = resident();
            for limit in 0..100_000_u64 {
                let quotas = Quotas::from(limiter_core::Quota::per_hour(10 + limit).unwrap());
                let set = free.with_quotas("api", &quotas).unwrap();
                let client = format!("client-{limit}");
                let decision = check(&set, &client, 3).await;
                assert_eq!(decision.quotas()[0].remaining(), 7 + limit);
                if limit % 1_000 == 0 {
                    // Found again, though its limit may have no id of its own.
                    assert_eq!(check(&set, &client, 1).await.quotas()[0].remaining(), 6 + limit);
                    assert_eq!(check(&free, &client, 0).await.quotas()[0].remaining(), 1);
                }
            }
            let grown = resident().saturating_sub(before);
            assert!(grown < 64 << 20, "{grown} bytes");
        });
    });
    let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.matches("limits should be plans").count(), 1, "{lines}");
    assert_eq!(lines.matches("ERROR").count(), 0, "{lines}");
}

/// Bytes of memory that the process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// The log lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

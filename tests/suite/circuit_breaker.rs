//! A store that fails: what clients are answered meanwhile, and how long they
//! wait.

mod reconciliation;

use std::{
    process::Command,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use limiter_core::{
    Algorithm, BanRule, Error, Health, Key, Limiter, OnStoreError, Policy, Quota, RemoteStore,
    Store, Verdict,
};
use redis::{Client, cmd};

use self::reconciliation::counting;
use crate::{servers::start_redis, switchable_store::SwitchableStore};

/// Three policies, one for each way to do without the store, each of two
/// requests an hour, with a ban after three refusals.
async fn limiter(store: impl Store) -> Limiter {
    let hour = Duration::from_secs(3_600);
    let ways = [
        ("local", OnStoreError::Local),
        ("allow", OnStoreError::Allow),
        ("deny", OnStoreError::Deny),
    ];
    let mut builder = Limiter::builder().store(store);
    for (name, way) in ways {
        let policy = Policy::new(name, Quota::per_hour(2).unwrap()).unwrap();
        let rule = BanRule::after_strikes(3).within(hour).for_duration(hour).unwrap();
        builder = builder.policy(policy.with_ban(rule).with_on_store_error(way));
    }
    builder.build().await.unwrap()
}

async fn ask(limiter: &Limiter, policy: &str, user: &str) -> Result<Verdict, Error> {
    let policy = limiter.policy(policy).unwrap();
    let subjects = policy.subjects_of(&Key::user(user));
    policy.check(&subjects, 1).await.map(|decision| decision.verdict())
}

async fn until_healthy(limiter: &Limiter, within: Duration) {
    let deadline = Instant::now() + within;
    while limiter.health() != Health::Healthy {
        assert!(Instant::now() < deadline, "{:?}", limiter.health());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_store_that_fails_is_left_alone_and_probed() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone()).await;
    assert_eq!(limiter.health(), Health::Healthy);
    store.off.store(true, Ordering::Relaxed);
    for _ in 0..200 {
        assert_eq!(ask(&limiter, "allow", "alice").await.unwrap(), Verdict::Allowed);
    }
    assert!(store.asked.load(Ordering::Relaxed) <= 6, "{:?}", store.asked);
    let Health::Degraded { reason, .. } = limiter.health() else { panic!("it fails") };
    assert_eq!(reason, "switched off");
    // While it is off, probes alone ask it: two or three within a second.
    let before = store.asked.load(Ordering::Relaxed);
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        ask(&limiter, "allow", "alice").await.unwrap();
        tokio::task::yield_now().await;
    }
    let probes = store.asked.load(Ordering::Relaxed) - before;
    assert!((1..=5).contains(&probes), "{probes}");
    store.off.store(false, Ordering::Relaxed);
    until_healthy(&limiter, Duration::from_secs(5)).await;
    assert_eq!(ask(&limiter, "allow", "bob").await.unwrap(), Verdict::Allowed);
}

/// A store of the application's own that never answers is given up, and left alone.
#[tokio::test]
async fn a_store_that_hangs_holds_nobody_up() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone()).await;
    store.hangs.store(true, Ordering::Relaxed);
    let ask = async |policy| {
        let asked = tokio::time::timeout(Duration::from_secs(30), ask(&limiter, policy, "alice"));
        asked.await.expect("it is held up")
    };
    while limiter.health() == Health::Healthy {
        assert_eq!(ask("allow").await.unwrap(), Verdict::Allowed);
    }
    let asked = store.asked.load(Ordering::Relaxed);
    for _ in 0..100 {
        assert!(matches!(ask("deny").await, Err(Error::Unavailable(_))));
    }
    // The probes alone.
    assert!(store.asked.load(Ordering::Relaxed) <= asked + 2);
    store.hangs.store(false, Ordering::Relaxed);
    until_healthy(&limiter, Duration::from_secs(30)).await;
}

#[tokio::test]
async fn each_policy_does_without_the_store_in_its_own_way() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone()).await;
    store.off.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(ask(&limiter, "local", "alice").await.unwrap(), Verdict::Allowed);
    }
    assert_eq!(ask(&limiter, "local", "alice").await.unwrap(), Verdict::Limited);
    for _ in 0..10 {
        assert_eq!(ask(&limiter, "allow", "alice").await.unwrap(), Verdict::Allowed);
        let error = ask(&limiter, "deny", "alice").await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
    }
}

#[tokio::test]
async fn known_bans_hold_through_an_outage() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone()).await;
    for policy in ["local", "allow", "deny"] {
        for _ in 0..5 {
            ask(&limiter, policy, "mallory").await.unwrap();
        }
        assert_eq!(ask(&limiter, policy, "mallory").await.unwrap(), Verdict::Banned);
    }
    store.off.store(true, Ordering::Relaxed);
    for policy in ["local", "allow", "deny"] {
        assert_eq!(ask(&limiter, policy, "mallory").await.unwrap(), Verdict::Banned, "{policy}");
    }
    assert_eq!(ask(&limiter, "allow", "alice").await.unwrap(), Verdict::Allowed);
    store.off.store(false, Ordering::Relaxed);
    until_healthy(&limiter, Duration::from_secs(5)).await;
    // Lifted, and not held by what was known of it.
    limiter.forgive("allow", &Key::user("mallory")).await.unwrap();
    store.off.store(true, Ordering::Relaxed);
    assert_eq!(ask(&limiter, "allow", "mallory").await.unwrap(), Verdict::Allowed);
}

#[tokio::test]
async fn a_store_that_is_back_is_found_without_traffic() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone()).await;
    store.off.store(true, Ordering::Relaxed);
    while limiter.health() == Health::Healthy {
        ask(&limiter, "allow", "alice").await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_ne!(limiter.health(), Health::Healthy);
    store.off.store(false, Ordering::Relaxed);
    until_healthy(&limiter, Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_refused_client_stays_refused_until_its_retry() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone()).await;
    for policy in ["local", "allow", "deny"] {
        for _ in 0..3 {
            ask(&limiter, policy, "alice").await.unwrap();
        }
    }
    store.off.store(true, Ordering::Relaxed);
    // Longer than refusals are answered from the deny cache.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for policy in ["local", "allow", "deny"] {
        for _ in 0..20 {
            assert_ne!(ask(&limiter, policy, "alice").await.unwrap(), Verdict::Allowed, "{policy}");
        }
    }
}

#[tokio::test]
async fn the_fallback_begins_from_the_last_usage_seen() {
    for algorithm in Algorithm::ALL.iter().copied() {
        let store = SwitchableStore::default();
        let limiter = counting(store.clone(), algorithm).await;
        for _ in 0..7 {
            ask(&limiter, "allow", "alice").await.unwrap();
        }
        store.off.store(true, Ordering::Relaxed);
        let mut admitted = 0;
        for _ in 0..20 {
            let verdict = ask(&limiter, "allow", "alice").await.unwrap();
            admitted += u32::from(verdict == Verdict::Allowed);
        }
        assert_eq!(admitted, 3, "{algorithm:?}");
    }
}

/// The process of a Redis server that was started here.
struct Paused(String);

impl Paused {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // A stopped process would not hear that it is to end.
        self.signal("-CONT");
    }
}

/// How long each of some requests waits.
async fn waits(limiter: &Limiter, policy: &str, requests: usize) -> Vec<Duration> {
    let mut waits = Vec::with_capacity(requests);
    for _ in 0..requests {
        let start = Instant::now();
        let _ = ask(limiter, policy, "alice").await;
        waits.push(start.elapsed());
    }
    waits
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up() {
    let url = start_redis();
    let mut connection = Client::open(url.as_str()).unwrap().get_connection().unwrap();
    let told: String = cmd("INFO").arg("server").query(&mut connection).unwrap();
    let process = told.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap();
    let server = Paused(process.trim().to_owned());
    let limiter = limiter(RemoteStore::builder(&url).connect().await.unwrap()).await;
    for _ in 0..3 {
        let _ = ask(&limiter, "local", "alice").await;
    }
    server.signal("-STOP");
    // Until the breaker opens, the deadline; with room for a busy machine. Where this
    // process lags, it takes more calls to open.
    while limiter.health() == Health::Healthy {
        let first = waits(&limiter, "local", 1).await;
        assert!(first[0] < Duration::from_secs(1), "{first:?}");
    }
    // Then nobody waits for the server. (Whoever has to wait for this machine's processors
    // is none of ours: that happens to few.)
    let open = waits(&limiter, "local", 10_000).await;
    let slow = open.iter().filter(|wait| **wait > Duration::from_millis(50)).count();
    assert!(slow <= 100, "{slow} of 10,000 waited");
    server.signal("-CONT");
    until_healthy(&limiter, Duration::from_secs(30)).await;
    // Earlier usage is still counted. (The server has applied, late, what it was sent
    // while it hung; refusals among it were strikes.)
    assert_ne!(ask(&limiter, "local", "alice").await.unwrap(), Verdict::Allowed);
}

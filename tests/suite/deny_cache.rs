//! The deny cache: what a refused client costs the store, and that it is
//! entitled to all the same.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use limiter_core::{
    Algorithm, BanRule, Decision, Key, Limiter, MemoryStore, Policy, Quota, Store, Verdict,
};

use crate::switchable_store::SwitchableStore;

async fn limiter(store: impl Store, policy: Policy) -> Limiter {
    Limiter::builder().store(store).policy(policy).build().await.unwrap()
}

fn policy(limit: u64, window: Duration, algorithm: Algorithm) -> Policy {
    let quota = Quota::new(limit, window).unwrap();
    Policy::new("api", quota.with_algorithm(algorithm).unwrap()).unwrap()
}

fn banning(threshold: u64, duration: Duration) -> Policy {
    let hour = Duration::from_secs(3_600);
    let rule = BanRule::after_strikes(threshold).within(hour).for_duration(duration).unwrap();
    policy(2, hour, Algorithm::Gcra).with_ban(rule)
}

async fn ask(limiter: &Limiter, user: &str) -> Decision {
    let api = limiter.policy("api").unwrap();
    let subjects = api.subjects_of(&Key::user(user));
    api.check(&subjects, 1).await.unwrap()
}

#[tokio::test]
async fn a_banned_client_costs_the_store_a_call_a_second() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone(), banning(1, Duration::from_secs(3_600))).await;
    while ask(&limiter, "mallory").await.verdict() != Verdict::Banned {}
    let (before, start) = (store.asked.load(Ordering::Relaxed), Instant::now());
    for _ in 0..10_000 {
        assert_eq!(ask(&limiter, "mallory").await.verdict(), Verdict::Banned);
    }
    let asked = store.asked.load(Ordering::Relaxed) - before;
    assert!(asked <= 1 + start.elapsed().as_secs(), "{asked} in {:?}", start.elapsed());
    // Another client is not in question.
    assert!(ask(&limiter, "alice").await.is_allowed());
}

#[tokio::test]
async fn what_is_told_from_the_cache_is_told_as_it_is_now() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone(), policy(2, Duration::from_secs(60), Algorithm::Gcra)).await;
    while ask(&limiter, "alice").await.is_allowed() {}
    let (first, asked) = (ask(&limiter, "alice").await, store.asked.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let later = ask(&limiter, "alice").await;
    assert_eq!(store.asked.load(Ordering::Relaxed), asked);
    let wait = |decision: &Decision| match decision.retry() {
        limiter_core::Retry::After(wait) => wait,
        other => panic!("{other:?}"),
    };
    let waited = wait(&first) - wait(&later);
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
    assert_eq!(waited, later.decided_at().since(first.decided_at()));
    assert!(later.quotas()[0].reset_after() < first.quotas()[0].reset_after());
}

#[tokio::test]
async fn a_client_that_is_refused_still_collects_its_strikes() {
    let limiter = limiter(SwitchableStore::default(), banning(10, Duration::from_secs(60))).await;
    let mut verdicts = Vec::new();
    for _ in 0..12 {
        verdicts.push(ask(&limiter, "mallory").await.verdict());
    }
    let expected = [[Verdict::Allowed].repeat(2), [Verdict::Limited].repeat(9)].concat();
    assert_eq!(verdicts[..11], expected);
    assert_eq!(verdicts[11], Verdict::Banned);
}

/// Four times the limit for three seconds, with the cache and without.
#[tokio::test]
async fn a_client_that_keeps_knocking_gets_what_it_is_entitled_to() {
    let knocks = async |algorithm: Algorithm| {
        let policy = || policy(50, Duration::from_secs(1), algorithm);
        let cached = limiter(SwitchableStore::default(), policy()).await;
        let plain = limiter(MemoryStore::new(), policy()).await;
        let (mut with, mut without) = (0_i32, 0_i32);
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            without += i32::from(ask(&plain, "alice").await.is_allowed());
            with += i32::from(ask(&cached, "alice").await.is_allowed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!((with - without).abs() <= 1, "{algorithm:?}: {with} and {without}");
        assert!(with >= 100, "{with}");
    };
    futures_util::future::join_all(Algorithm::ALL.iter().copied().map(knocks)).await;
}

#[tokio::test]
async fn what_is_changed_elsewhere_is_seen_within_a_second() {
    let store = SwitchableStore::default();
    let hour = Duration::from_secs(3_600);
    let one = limiter(store.clone(), banning(1, hour)).await;
    let other = limiter(store.clone(), banning(1, hour)).await;
    while ask(&one, "mallory").await.verdict() != Verdict::Banned {}
    other.forgive("api", &Key::user("mallory")).await.unwrap();
    other.reset("api", &Key::user("mallory")).await.unwrap();
    let start = Instant::now();
    while !ask(&one, "mallory").await.is_allowed() {
        assert!(start.elapsed() < Duration::from_millis(2_000), "it is not seen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Changed here, at once.
    while ask(&one, "mallory").await.verdict() != Verdict::Banned {}
    one.forgive("api", &Key::user("mallory")).await.unwrap();
    one.reset("api", &Key::user("mallory")).await.unwrap();
    assert!(ask(&one, "mallory").await.is_allowed());
}

/// A client that sends another header value with each request is banned by its
/// address, which answers whatever else is in the check.
#[tokio::test]
async fn a_banned_address_costs_a_call_a_second_whatever_its_headers() {
    let store = SwitchableStore::default();
    let policy = banning(1, Duration::from_secs(3_600))
        .with_key("header:x-api-key")
        .unwrap()
        .with_per_address(1)
        .unwrap();
    let limiter = limiter(store.clone(), policy).await;
    let api = limiter.policy("api").unwrap();
    let ask = async |value: u32| {
        let keys =
            [Key::header("x-api-key", &value.to_be_bytes()), Key::ip("192.0.2.1".parse().unwrap())];
        api.check(&limiter.subjects(keys), 1).await.unwrap().verdict()
    };
    let mut value = 0;
    while ask(value).await != Verdict::Banned {
        value += 1;
    }
    let (before, start) = (store.asked.load(Ordering::Relaxed), Instant::now());
    for _ in 0..10_000 {
        value += 1;
        assert_eq!(ask(value).await, Verdict::Banned);
    }
    let asked = store.asked.load(Ordering::Relaxed) - before;
    assert!(asked <= 1 + start.elapsed().as_secs(), "{asked} in {:?}", start.elapsed());
}

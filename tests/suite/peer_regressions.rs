//! Bugs of other limiters for Rust, each a test that such a bug fails.

mod in_redis;

use std::{net::Ipv4Addr, time::Duration};

use limiter_core::{
    AdmitOptions, Check, Config, Decision, Error, Key, Limiter, LimiterBuilder, ManualClock,
    MemoryStore, Policy, Quotas, Store, Subject, Verdict,
};

use crate::{
    conformance::clock,
    test_request::{Facts, from},
};

async fn limiter(text: &str, clock: &ManualClock) -> (Limiter, MemoryStore) {
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let config = LimiterBuilder::from_config(Config::from_toml(text).unwrap());
    (config.store(store.clone()).build().await.unwrap(), store)
}

fn api(quota: &str) -> String {
    format!("[policies.api]\nquota = {quota:?}")
}

/// actix-extensible-rate-limit: its cleaner dies with the first clone that is
/// dropped, and keys pile up. Here nothing needs one.
#[tokio::test]
async fn a_clone_that_is_dropped_takes_nothing_with_it() {
    let clock = clock();
    let store = MemoryStore::builder().clock(clock.clone()).max_keys(64).build();
    drop(store.clone());
    let policies = [Policy::new("api", "1/minute".parse::<Quotas>().unwrap()).unwrap()];
    for n in 0..1_000 {
        let subjects = [Subject::new(Key::ip(Ipv4Addr::from_bits(n).into()))];
        let decision = store.decide(Check::new(&policies, &subjects, 1)).await.unwrap();
        assert!(decision.is_allowed(), "{n}");
        // Six keys at a time are live: with a full table a newcomer may inherit usage.
        clock.advance(Duration::from_secs(10));
    }
    assert!(store.len() <= 64);
}

/// actix-limitation: a request without its key is not limited.
#[tokio::test]
async fn a_request_without_a_key_is_limited_or_an_error() {
    let clock = clock();
    let text = "[policies.user]\nquota = \"2/hour\"\nkey = \"user\"\n\
                [policies.header]\nquota = \"2/hour\"\nkey = \"header:x-api-key\"\n\
                [policies.endpoint]\nquota = \"2/hour\"\nkey = \"endpoint\"";
    let (limiter, _) = limiter(text, &clock).await;
    for policy in ["user", "header", "endpoint"] {
        assert_eq!(from("192.0.2.1").admitted(&limiter, policy, 9).await, 2, "{policy}");
    }
    // LemmyNet/lemmy#6134: nor does it panic without a peer.
    for policy in ["user", "header"] {
        let answer = Facts::default().ask(&limiter, policy).await;
        assert!(matches!(answer, Err(Error::NoAddress)), "{policy}: {answer:?}");
    }
}

/// How many pass at once at an instant.
async fn burst(limiter: &Limiter) -> u32 {
    from("192.0.2.1").admitted(limiter, "api", 50).await
}

/// actix-web-ratelimit lets one more pass, axum_gcra one more after a pause,
/// throttlecrab nearly twice as many after one.
#[tokio::test]
async fn never_one_more_than_the_limit_at_once() {
    for algorithm in ["gcra", "fixed_window", "sliding_window", "strict_window"] {
        for limit in [1, 5, 10] {
            let clock = clock();
            let quota = api(&format!("{limit}/minute"));
            let text = format!("{quota}\nalgorithm = {algorithm:?}");
            let (limiter, _) = limiter(&text, &clock).await;
            assert_eq!(burst(&limiter).await, limit, "{algorithm}");
            for pause in [60, 61, 107, 119, 120, 300, 86_400, 10_000_000] {
                clock.advance(Duration::from_secs(pause));
                let admitted = burst(&limiter).await;
                assert!(admitted <= limit, "{algorithm}: {admitted} after {pause} s");
                clock.advance(Duration::from_secs(120));
                assert_eq!(burst(&limiter).await, limit, "{algorithm} after {pause} s");
            }
        }
    }
}

/// throttle-kit: what remains counts up.
#[tokio::test]
async fn what_remains_counts_down() {
    for algorithm in ["gcra", "fixed_window", "sliding_window", "strict_window"] {
        let text = format!("{}\nalgorithm = {algorithm:?}", api("5/minute"));
        let (limiter, _) = limiter(&text, &clock()).await;
        for remaining in (0..5).rev() {
            let decision = from("192.0.2.1").ask(&limiter, "api").await.unwrap();
            assert_eq!(decision.quotas()[0].remaining(), remaining);
        }
    }
}

fn field(limiter: &Limiter, decision: &Decision, name: &str) -> String {
    let policy = limiter.policy("api").unwrap();
    let fields = policy.fields(decision);
    let found = fields.iter().find(|(own, _)| *own == name);
    found.unwrap_or_else(|| panic!("{name} is missing: {fields:?}")).1.to_string()
}

/// limiteron: the draft's field has an instant where seconds belong.
#[tokio::test]
async fn a_reset_is_seconds_in_one_field_and_an_instant_in_the_other() {
    let clock = clock();
    let (draft, _) = limiter(&api("5/minute"), &clock).await;
    let decision = from("192.0.2.1").ask(&draft, "api").await.unwrap();
    assert_eq!(field(&draft, &decision, "ratelimit"), "\"api\";r=4;t=48");
    let text = format!("{}\nheaders = \"x-ratelimit\"", api("5/minute"));
    let (legacy, _) = limiter(&text, &clock).await;
    let decision = from("192.0.2.1").ask(&legacy, "api").await.unwrap();
    assert_eq!(field(&legacy, &decision, "x-ratelimit-reset"), "1700000012");
}

/// rater: when its table is full, whoever is new is locked out.
#[tokio::test]
async fn a_full_table_locks_no_newcomer_out() {
    for algorithm in ["gcra", "fixed_window", "sliding_window", "strict_window"] {
        let store = MemoryStore::builder().max_keys(1_000).build();
        let text = format!("{}\nalgorithm = {algorithm:?}", api("20/hour"));
        let config = LimiterBuilder::from_config(Config::from_toml(&text).unwrap());
        let limiter = config.store(store).build().await.unwrap();
        for n in 0..5_000 {
            let peer = Some(Ipv4Addr::from_bits(n << 8).into());
            let newcomer = Facts { peer, ..Facts::default() };
            assert_eq!(newcomer.admitted(&limiter, "api", 1).await, 1, "{algorithm}: {n}");
        }
    }
}

/// limitador#466: a table of no size enforces nothing.
#[tokio::test]
async fn the_smallest_table_limits() {
    let error = Config::from_toml("max_keys = 0").unwrap_err().to_string();
    assert!(error.contains("max_keys"), "{error}");
    let store = MemoryStore::builder().max_keys(0).build();
    let config = LimiterBuilder::from_config(Config::from_toml(&api("5/hour")).unwrap());
    let limiter = config.store(store).build().await.unwrap();
    assert_eq!(burst(&limiter).await, 5);
}

/// Parts of a key that run into each other.
#[tokio::test]
async fn parts_of_a_key_do_not_run_together() {
    let text = "[policies.api]\nquota = \"1/hour\"\nkey = [\"header:x-a\", \"header:x-b\"]\nper_address = 100";
    let (limiter, _) = limiter(text, &clock()).await;
    for (a, b) in [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("a:b", "c"), ("a", "b:c")] {
        let request = from("192.0.2.1").with("x-a", a).with("x-b", b);
        assert_eq!(request.admitted(&limiter, "api", 3).await, 1, "{a} {b}");
    }
}

/// limiteron: its automatic ban is read, checked, and never applied.
#[tokio::test]
async fn what_is_configured_is_applied() {
    let clock = clock();
    let text = format!(
        "{}\nban = {{ threshold = 2, window = \"1h\", duration = \"10m\", factor = 2, status = 429 }}",
        api("1/hour")
    );
    let (limiter, _) = limiter(&text, &clock).await;
    assert_eq!(burst(&limiter).await, 1);
    let policy = limiter.policy("api").unwrap();
    for minutes in [10, 20, 40] {
        let banned = loop {
            let decision = from("192.0.2.1").ask(&limiter, "api").await.unwrap();
            if decision.verdict() == Verdict::Banned {
                break decision;
            }
        };
        let refused = policy.admit(&from("192.0.2.1"), AdmitOptions::default()).await.unwrap_err();
        assert_eq!(refused.status(), 429);
        let left = banned.banned_until().unwrap().since(banned.decided_at());
        assert_eq!(left, Duration::from_secs(60 * minutes));
        clock.advance(left);
    }
    for unknown in ["bann = 1", "quotas = \"1/s\"", "[policies.api.ban]\ntreshold = 1"] {
        let error = Config::from_toml(&format!("{}\n{unknown}", api("1/hour"))).unwrap_err();
        assert!(error.to_string().contains("there is no key"), "{error}");
    }
}

/// actix-limitation and others: what one limit refuses, the others charge.
#[tokio::test]
async fn a_refusal_burns_no_other_limit() {
    let text = "[policies.burst]\nquota = \"1/second\"\n[policies.daily]\nquota = \"100/day\"";
    let clock = clock();
    let (limiter, _) = limiter(text, &clock).await;
    let both = limiter.policies(["burst", "daily"]).unwrap();
    let subjects = both.subjects_of(&Key::user("alice"));
    for _ in 0..50 {
        let _ = both.check(&subjects, 1).await.unwrap();
    }
    let left = both.check(&subjects, 0).await.unwrap();
    assert_eq!(left.quotas()[1].remaining(), 99);
}

/// redis-cell#50, #80: high rates. governor: at most one a nanosecond.
#[tokio::test]
async fn high_rates_are_exact() {
    let clock = clock();
    let (limiter, _) = limiter(&api("3000000/s burst 10"), &clock).await;
    assert_eq!(burst(&limiter).await, 10);
    clock.advance(Duration::from_micros(1));
    assert_eq!(burst(&limiter).await, 3);
}

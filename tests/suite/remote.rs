//! Tests of every shared store: names, secrets, bans, abandoned requests.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use limiter_core::{
    Algorithm, BanPage, BanRule, Check, Key, Limiter, ManualClock, Policy, Quota, Quotas,
    RemoteStore, Store, Subject, Timestamp,
};

use crate::databases::{builder, clocked_store, on_databases, store, unique};

pub(crate) fn policy(quotas: &str) -> Policy {
    Policy::new("api", quotas.parse::<Quotas>().unwrap()).unwrap()
}

pub(crate) fn banning<const N: usize>(threshold: u64, statuses: [u16; N]) -> Policy {
    let minute = Duration::from_secs(60);
    let rule = BanRule::after_strikes(threshold)
        .within(minute)
        .for_duration(minute)
        .and_then(|rule| rule.with_statuses(statuses));
    policy("2/hour").with_ban(rule.unwrap())
}

pub(crate) fn subject(key: Key) -> [Subject; 1] {
    [Subject::new(key)]
}

pub(crate) async fn admits(store: &RemoteStore, policies: &[Policy], who: &[Subject]) -> bool {
    store.decide(Check::new(policies, who, 1)).await.unwrap().is_allowed()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

on_databases! {
    bans_are_listed_page_by_page
    bans_are_looked_up_and_lifted
    secrets_are_never_listed
    a_ban_may_be_asked_for_for_ever
    connected_stores_show_no_password
    abandoned_requests_leave_nothing_half_done
    a_store_of_another_prefix_is_another_store
}

async fn limiter(url: &str) -> Limiter {
    let store = store(url, &unique("bans")).await;
    Limiter::builder().store(store).policy(banning(1, [])).build().await.unwrap()
}

fn bans_are_listed_page_by_page(url: &str) {
    block_on(async {
        let limiter = limiter(url).await;
        let minute = Duration::from_secs(60);
        let keys: Vec<Key> = (0..25).map(|user| Key::user(&format!("user-{user}"))).collect();
        for key in &keys {
            limiter.ban("api", key, minute).await.unwrap();
        }
        limiter.unban("api", &keys[7]).await.unwrap();
        let (mut listed, mut pages, mut after) = (BTreeSet::new(), 0, None);
        loop {
            let BanPage { bans, next, .. } =
                limiter.bans("api", after.as_deref(), 10).await.unwrap();
            listed.extend(bans.iter().map(|banned| banned.key.to_string()));
            pages += 1;
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert!(pages > 1 || url.starts_with("redis"), "{pages}");
        let expected = keys.iter().filter(|key| **key != keys[7]).map(ToString::to_string);
        assert_eq!(listed, expected.collect());
        let error = limiter.bans("api", Some("'; DROP"), 10).await.unwrap_err().to_string();
        assert!(error.contains("is not where a page of bans has ended"), "{error}");
    });
}

fn bans_are_looked_up_and_lifted(url: &str) {
    block_on(async {
        let limiter = limiter(url).await;
        // One that is kept as it is, and one that is kept as a digest.
        for key in [Key::user("alice"), Key::header("x-api-key", b"s3cret")] {
            let api = limiter.policy("api").unwrap();
            assert_eq!(limiter.banned("api", &key).await.unwrap(), None);
            for _ in 0..3 {
                let _ = api.check(&api.subjects_of(&key), 1).await.unwrap();
            }
            let ban = limiter.banned("api", &key).await.unwrap().expect("one strike bans");
            assert_eq!(ban.duration, 60_000_000);
            let listed = limiter.bans("api", None, 10).await.unwrap().bans;
            assert_eq!((listed.len(), listed[0].ban), (1, ban));
            // A listed ban can be lifted, be its key a digest.
            limiter.unban("api", &listed[0].key).await.unwrap();
            assert_eq!(limiter.banned("api", &key).await.unwrap(), None);
            assert_eq!(limiter.bans("api", None, 10).await.unwrap().bans, []);
            limiter.forgive("api", &key).await.unwrap();
            limiter.reset("api", &key).await.unwrap();
            assert!(api.check(&api.subjects_of(&key), 1).await.unwrap().is_allowed());
        }
    });
}

fn secrets_are_never_listed(url: &str) {
    block_on(async {
        let limiter = limiter(url).await;
        let keys = [
            Key::user("alice@example.org"),
            Key::header("x-api-key", b"s3cret-key"),
            Key::custom("tenant", "}evil{"),
            Key::custom("tenant", "'; DROP TABLE limiter_bans; --"),
        ];
        for key in &keys {
            limiter.ban("api", key, Duration::from_secs(60)).await.unwrap();
        }
        let listed = limiter.bans("api", None, 10).await.unwrap().bans;
        assert_eq!(listed.len(), keys.len());
        for banned in listed {
            let name = banned.key.to_string();
            assert!(name.starts_with('#') && name.len() == 33, "{name}");
        }
    });
}

/// Requests that go away at any point: no lock stays, no transaction is left
/// open, what was refused is not charged, and the next ones are decided.
fn abandoned_requests_leave_nothing_half_done(url: &str) {
    block_on(async {
        let store = store(url, &unique("abandoned")).await;
        let policies = [named("free", "1000000/hour"), named("tight", "1/hour")];
        let clients = ["alice", "bob"].map(|user| subject(Key::user(user))).concat();
        assert!(admits(&store, &policies[1..], &clients[1..]).await);
        for micros in 0..200 {
            // Bob is refused, so that Alice is not to be charged.
            let check = store.decide(Check::new(&policies, &clients, 1));
            let _ = tokio::time::timeout(Duration::from_micros(20 * micros), check).await;
        }
        // Units that were given back while nobody waited have had their time.
        let deadline = Instant::now() + Duration::from_secs(10);
        while remaining(&store, &policies[..1], &clients[..1]).await < 1_000_000 {
            assert!(Instant::now() < deadline, "something stays charged");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for _ in 0..20 {
            assert!(admits(&store, &policies[..1], &clients[..1]).await);
        }
        assert_eq!(remaining(&store, &policies[..1], &clients[..1]).await, 1_000_000 - 20);
    });
}

/// In windows, so that time gives nothing back.
fn named(name: &str, quota: &str) -> Policy {
    let quota = quota.parse::<Quota>().unwrap().with_algorithm(Algorithm::FixedWindow).unwrap();
    Policy::new(name, quota).unwrap()
}

async fn remaining(store: &RemoteStore, policies: &[Policy], who: &[Subject]) -> u64 {
    store.decide(Check::new(policies, who, 0)).await.unwrap().quotas()[0].remaining()
}

fn a_store_of_another_prefix_is_another_store(url: &str) {
    block_on(async {
        let (one, other) = (store(url, &unique("a")).await, store(url, &unique("b")).await);
        let (policies, client) = ([policy("1/hour")], subject(Key::user("alice")));
        assert!(admits(&one, &policies, &client).await);
        assert!(!admits(&one, &policies, &client).await);
        assert!(admits(&other, &policies, &client).await);
    });
}

/// At most 3660 days, which every store can count.
fn a_ban_may_be_asked_for_for_ever(url: &str) {
    block_on(async {
        let limiter = limiter(url).await;
        let (api, key) = (limiter.policy("api").unwrap(), Key::user("alice"));
        limiter.ban("api", &key, Duration::MAX).await.unwrap();
        let ban = limiter.banned("api", &key).await.unwrap().expect("it was banned");
        assert_eq!(ban.duration, 3_660 * 86_400_000_000);
        let decision = api.check(&api.subjects_of(&key), 1).await.unwrap();
        assert_eq!(decision.verdict(), limiter_core::Verdict::Banned);
    });
}

fn connected_stores_show_no_password(url: &str) {
    block_on(async {
        let limiter = limiter(url).await;
        for shown in [format!("{limiter:?}"), format!("{:?}", limiter.policy("api").unwrap())] {
            assert!(shown.contains("api") && !shown.contains("hunter2"), "{shown}");
        }
    });
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let schemes = ["redis", "redis-cluster", "redis-sentinel", "rediss", "postgres", "mysql"];
    for scheme in schemes {
        for rest in ["127.0.0.1:1/0", "[/0", "host:port,/x", ""] {
            let url = format!("{scheme}://user:hunter2@{rest}");
            let builder = builder(&url, "limiter");
            assert!(!format!("{builder:?}").contains("hunter2"));
            let error = builder.connect().await.unwrap_err();
            for told in [error.to_string(), format!("{error:?}")] {
                assert!(told.contains("store") && !told.contains("hunter2"), "{url}: {told}");
            }
        }
    }
    let error = builder("sqlite:///no/such/folder/x", "limiter").connect().await.unwrap_err();
    assert!(error.to_string().starts_with("store: the SQLite file /no/such/folder/x "), "{error}");
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let (redis, postgres) = ("redis://127.0.0.1:1", "postgres://x@127.0.0.1:1/x");
    let cases = [
        (builder("mongodb://x", "limiter"), "store: there is no store \"mongodb\""),
        (builder(redis, "a{b}"), "prefix name \"a{b}\""),
        (builder(postgres, "a-b"), "prefix: is \"a-b\""),
        (builder(postgres, "a.b.c"), "prefix: is \"a.b.c\""),
        (builder(postgres, "x; drop"), "prefix: is \"x; drop\""),
        (builder(postgres, "limiter").pool_size(0), "pool_size: is 0"),
        (builder(redis, "limiter").timeout(Duration::ZERO), "timeout: is 0s"),
        (builder(redis, "limiter").timeout(Duration::MAX), "write 1ms to 1m"),
        (builder("redis:user:hunter2@x", "limiter"), "there is no store \"without ://\""),
        (builder("redis-sentinel://127.0.0.1:1", "limiter"), "store: the URL names no service"),
        (builder("sqlite://", "limiter"), "store: the URL names no file"),
    ];
    for (builder, expected) in cases {
        let error = builder.connect().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, not {expected}");
    }
}

/// A store with a clock of its own, and as many clients.
pub(crate) async fn filled(url: &str, prefix: &str, rows: usize) -> (RemoteStore, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
    let store = clocked_store(url, prefix, clock.clone()).await;
    let policies = [policy("2/hour")];
    for row in 0..rows {
        assert!(admits(&store, &policies, &subject(Key::user(&format!("user-{row}")))).await);
    }
    (store, clock)
}

/// Asks after each time that somebody has closed the connections, so many times:
/// each is counted, exactly. Returns how often a call was sent again.
pub(crate) async fn loses_nothing(url: &str, times: u64, close: impl AsyncFn()) -> u64 {
    let store = builder(url, &unique("closing")).timeout(Duration::from_secs(2));
    let store = store.connect().await.unwrap();
    let policies = [policy("300/day")];
    let users: Vec<_> = (0..8).map(|user| subject(Key::user(&format!("user-{user}")))).collect();
    for round in 0..times {
        close().await;
        for user in &users {
            let decision = store.decide(Check::new(&policies, user, 1)).await;
            let decision = decision.unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(decision.quotas()[0].remaining(), 300 - 1 - round, "round {round}");
        }
    }
    store.health().into_iter().flatten().map(|server| server.calls.retries).sum()
}

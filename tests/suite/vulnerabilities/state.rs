//! Attacks on stored state: floods, hostile keys, races.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use limiter_core::{
    AdmitOptions, BanRule, Config, Error, Key, Limiter, ManualClock, MemoryStore, Policy, Quota,
    Verdict,
};
use redis::Commands;

use super::{TEN, configured, stored};
use crate::{
    conformance::clock,
    databases::{builder, unique},
    servers::start_redis,
    switchable_store::SwitchableStore,
    test_request::{Facts, from},
};

/// CVE-2021-41177, Nextcloud: without its cache, limits were silently off.
#[tokio::test]
async fn limits_without_a_store_are_not_off() {
    let gone = "store = \"redis://127.0.0.1:1\"\n";
    let config = Config::from_toml(&format!("{gone}{TEN}")).unwrap();
    let error = Limiter::from_config(config).await.unwrap_err().to_string();
    assert!(error.contains("Redis"), "{error}");

    let (local, deny) = (TEN, format!("{TEN}\non_store_error = \"deny\""));
    let off = || SwitchableStore { off: Arc::new(true.into()), ..SwitchableStore::default() };
    let limiter = stored(local, off()).await;
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 100).await, 10);
    let limiter = stored(&deny, off()).await;
    for _ in 0..100 {
        let answer = from("192.0.2.1").ask(&limiter, "api").await;
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    }
}

/// RUSTSEC-2024-0363, sqlx: lengths beyond 4 GiB overflow. Whatever a client
/// sends is a short key.
#[test]
fn long_values_are_short_keys() {
    let long = "x".repeat(1 << 20);
    let keys = [
        Key::header("x-api-key", long.as_bytes()),
        Key::user(&long),
        Key::custom(&long, &long),
        Key::endpoint("GET", &long),
    ];
    for key in keys {
        assert!(key.as_bytes().len() <= 120, "{}", key.as_bytes().len());
    }
}

/// moka's default policy may refuse a newcomer when it is full, and any other
/// cache evicts: a flood of keys must not free whoever is limited or banned.
#[tokio::test]
async fn a_flood_of_keys_frees_nobody() {
    let store = MemoryStore::builder().max_keys(1_000).max_bans(10).build();
    let ban = "ban = { threshold = 1, window = \"1h\", duration = \"1h\" }";
    let text = format!("{TEN}\n[policies.strict]\nquota = \"1/hour\"\n{ban}");
    let limiter = stored(&text, store.clone()).await;
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 20).await, 10);
    assert_eq!(from("192.0.2.2").admitted(&limiter, "strict", 2).await, 1);
    for n in 0..10_000 {
        let flooder = Facts { peer: Some(Ipv4Addr::from_bits(n << 8).into()), ..Facts::default() };
        let _ = flooder.ask(&limiter, "api").await.unwrap();
    }
    assert!(store.len() <= 1_000);
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 20).await, 0);
    let banned = from("192.0.2.2").ask(&limiter, "strict").await.unwrap();
    assert_eq!(banned.verdict(), Verdict::Banned);
}

/// express-rate-limit, ERR_ERL_STORE_REUSE: two limiters in one store count for
/// each other.
#[tokio::test]
async fn limiters_of_one_store_are_apart() {
    let store = MemoryStore::new();
    let one = stored(TEN, store.clone()).await;
    let other = stored("[policies.other]\nquota = \"10/hour\"", store.clone()).await;
    let anew = stored("[policies.api]\nquota = \"10/day\"", store.clone()).await;
    let same = stored(TEN, store).await;
    assert_eq!(from("192.0.2.1").admitted(&one, "api", 20).await, 10);
    assert_eq!(from("192.0.2.1").admitted(&other, "other", 20).await, 10);
    assert_eq!(from("192.0.2.1").admitted(&anew, "api", 20).await, 10);
    assert_eq!(from("192.0.2.1").admitted(&same, "api", 20).await, 0);
}

/// limits, `clear_keys.lua`: a client's name is a pattern. And GHSA of many a
/// Redis application: a name that closes the hash tag lands in another slot.
#[tokio::test]
async fn names_are_no_patterns_and_no_tags() {
    let url = start_redis();
    let limiter = stored(
        "[policies.api]\nquota = \"10/hour\"\nkey = \"user\"",
        builder(&url, "tags").connect().await.unwrap(),
    )
    .await;
    let names = ["alice", "*", "a?ice", "[a-z]lice", "{a}evil}", "{}", "a:b", "\0", "\n", ""];
    for name in names {
        assert_eq!(from("192.0.2.1").user(name).admitted(&limiter, "api", 11).await, 10, "{name}");
    }
    limiter.reset("api", &Key::user("*")).await.unwrap();
    for name in names {
        let admitted = from("192.0.2.1").user(name).admitted(&limiter, "api", 1).await;
        assert_eq!(admitted, u32::from(name == "*"), "{name}");
    }
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let keys: Vec<String> = connection.keys("*").unwrap();
    for key in &keys {
        let (_, tagged) = key.split_once('{').unwrap();
        let (tag, rest) = tagged.split_once('}').unwrap();
        let plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"#=:".contains(&b));
        assert!(!tag.is_empty() && plain(tag) && plain(rest), "{key}");
    }
}

/// CVE-2023-44487 and the advisories of h2 are below us; but no release brings
/// an h2, or an sqlx, that is known to be broken.
#[test]
fn the_lock_file_has_no_broken_protocols() {
    let lock = include_str!("../../../Cargo.lock");
    let version = |name: &str| {
        let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        let version = after.split('"').next()?.split('.').map(|part| part.parse().ok());
        version.collect::<Option<Vec<u64>>>()
    };
    assert!(version("h2").is_none_or(|version| version >= vec![0, 4, 16]));
    assert!(version("sqlx").expect("SQL goes by it") >= vec![0, 8, 1]);
}

/// TOCTOU: of many that check and then act, more pass than may.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_no_more_than_the_limit() {
    let limiter = configured("[policies.api]\nquota = \"100/hour\"").await;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { from("192.0.2.1").admitted(&limiter, "api", 50).await })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    assert_eq!(admitted, 100);
}

/// GHSA-76rv-2r9v-c5m6, zae-limiter: one hot key brings everything to a halt.
/// Whoever asks is answered within the deadline, one way or the other.
fn one_hot_key_holds_nobody_up(url: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = builder(url, &unique("hot")).timeout(Duration::from_millis(500));
        let policy = Policy::new("api", Quota::per_hour(1_000_000).unwrap()).unwrap();
        let store = store.connect().await.unwrap();
        let limiter = Limiter::builder().store(store).policy(policy).build().await.unwrap();
        let tasks: Vec<_> = (0..400)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    let start = std::time::Instant::now();
                    let _ = from("192.0.2.1").ask(&limiter, "api").await.unwrap();
                    start.elapsed()
                })
            })
            .collect();
        for task in tasks {
            let waited = task.await.unwrap();
            assert!(waited < Duration::from_millis(900), "{waited:?}");
        }
    });
}

crate::databases::on_databases! { one_hot_key_holds_nobody_up }

/// Cancellation: the counter of failures is never told, since the client has gone.
#[tokio::test]
async fn a_ban_by_status_needs_no_answer_to_be_read() {
    let clock: ManualClock = clock();
    let rule = BanRule::after_strikes(3)
        .within(Duration::from_secs(60))
        .for_duration(Duration::from_secs(60))
        .unwrap();
    let policy = Policy::new("api", Quota::per_hour(100).unwrap()).unwrap();
    let policy = policy.with_ban(rule.with_statuses([401]).unwrap());
    let store = SwitchableStore {
        store: MemoryStore::builder().clock(clock).build(),
        slowness: 5,
        ..SwitchableStore::default()
    };
    let limiter = Limiter::builder().store(store).policy(policy).build().await.unwrap();
    let api = limiter.policy("api").unwrap();
    for _ in 0..3 {
        let admission = api.admit(&from("192.0.2.1"), AdmitOptions::default()).await.unwrap();
        // The client is gone before the strike is stored.
        drop(admission.permit().unwrap().record_response(401));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(from("192.0.2.1").ask(&limiter, "api").await.unwrap().verdict(), Verdict::Banned);
}

//! `Limiter::stats` and `Limiter::top_refused`.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::FutureExt;
use limiter_core::{
    Algorithm, BanRule, Key, KeySpec, Limiter, MemoryStore, Mode, OnStoreError, Policy, PolicySet,
    Quota, stats::PolicyStats,
};

use crate::{switchable_store::SwitchableStore, test_request::from};

fn policy(name: &str, quotas: &str) -> Policy {
    Policy::new(name, quotas).unwrap()
}

fn ban_after(strikes: u64) -> BanRule {
    let hour = Duration::from_secs(3_600);
    BanRule::after_strikes(strikes).within(hour).for_duration(hour).unwrap()
}

async fn limiter(policies: impl IntoIterator<Item = Policy>) -> Limiter {
    policies
        .into_iter()
        .fold(Limiter::builder(), |builder, one| builder.policy(one))
        .build()
        .await
        .unwrap()
}

fn stats(limiter: &Limiter, policy: &str) -> PolicyStats {
    limiter.stats().policies[policy].clone()
}

/// Checks at once, as a store in memory answers.
fn check(set: &PolicySet, key: &Key) {
    let _ = set
        .check(&set.subjects_of(key), 1)
        .now_or_never()
        .expect("memory answers at once")
        .unwrap();
}

#[tokio::test]
async fn each_outcome_has_its_counter() {
    let limiter = limiter([policy("api", "5/hour").with_ban(ban_after(3))]).await;
    let api = limiter.policy("api").unwrap();
    (0..10).for_each(|_| check(&api, &Key::user("a")));
    let sums = stats(&limiter, "api");
    assert_eq!((sums.allowed, sums.near_limit), (5, 2));
    // The refusal that reaches the threshold is answered as banned.
    assert_eq!((sums.limited, sums.banned, sums.strikes), (2, 3, 3));
    assert_eq!((sums.bans.refusals, sums.bans.responses, sums.bans.operator), (1, 0, 0));

    limiter.ban("api", &Key::user("b"), Duration::from_secs(60)).await.unwrap();
    assert_eq!(stats(&limiter, "api").bans.operator, 1);
    assert_eq!((sums.mode, sums.quotas[0].limit), ("enforce", 5));
}

/// A look counts nothing, and of several policies the one that refuses is counted.
#[tokio::test]
async fn of_several_policies_the_refusing_one_is_counted() {
    let limiter = limiter([policy("few", "2/hour"), policy("many", "100/hour; 200/day")]).await;
    let both = limiter.policies(["few", "many"]).unwrap();
    let subjects = both.subjects_of(&Key::user("a"));
    for cost in [0, 1, 1, 1, 1, 0] {
        let _ = both.check(&subjects, cost).await.unwrap();
    }
    let (few, many) = (stats(&limiter, "few"), stats(&limiter, "many"));
    assert_eq!((few.allowed, few.near_limit, few.limited), (2, 1, 2));
    assert_eq!((many.allowed, many.near_limit, many.limited), (2, 0, 0));
}

/// Near the limit: at most a fifth is left after the request, whatever the algorithm.
#[tokio::test]
async fn the_last_fifth_is_near_the_limit() {
    for quota in ["10/hour", "100/hour burst 10"] {
        near_limit(&policy("api", quota)).await;
    }
    for algorithm in [Algorithm::Gcra, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let quota = "10/hour".parse::<Quota>().unwrap().with_algorithm(algorithm);
        near_limit(&Policy::new("api", quota.unwrap()).unwrap()).await;
    }
}

async fn near_limit(policy: &Policy) {
    let limiter = limiter([policy.clone()]).await;
    let api = limiter.policy("api").unwrap();
    (0..7).for_each(|_| check(&api, &Key::user("a")));
    assert_eq!(stats(&limiter, "api").near_limit, 0, "{policy:?}");
    (0..3).for_each(|_| check(&api, &Key::user("a")));
    assert_eq!(stats(&limiter, "api").near_limit, 3, "{policy:?}");
}

#[tokio::test]
async fn lists_and_strangers_are_counted_apart() {
    let limiter = Limiter::builder()
        .policy(policy("api", "5/hour"))
        .allow("192.0.2.1")
        .block(["192.0.2.2"])
        .build()
        .await
        .unwrap();
    for (peer, times) in [("192.0.2.1", 3), ("192.0.2.2", 2), ("", 4), ("192.0.2.3", 1)] {
        for _ in 0..times {
            let _ = from(peer).ask(&limiter, "api").await;
        }
    }
    let uncounted = limiter.stats().uncounted;
    assert_eq!((uncounted.allow_listed, uncounted.blocked, uncounted.unidentified), (3, 2, 4));
    assert_eq!(stats(&limiter, "api").allowed, 1);
}

/// The store fails: one policy refuses, one admits, one counts in memory.
#[tokio::test]
async fn an_outage_is_counted_policy_by_policy() {
    let store = SwitchableStore::default();
    let of = |name: &str, on_error| policy(name, "3/hour").with_on_store_error(on_error);
    let limiter = Limiter::builder()
        .store(store.clone())
        .policy(of("deny", OnStoreError::Deny))
        .policy(of("allow", OnStoreError::Allow))
        .policy(of("local", OnStoreError::Local))
        .build()
        .await
        .unwrap();
    store.off.store(true, Ordering::Relaxed);
    for name in ["deny", "allow", "local"] {
        for _ in 0..5 {
            let _ = from("192.0.2.1").ask(&limiter, name).await;
        }
    }
    let all = limiter.stats();
    let of = |name: &str| all.policies[name].clone();
    assert_eq!((of("deny").unavailable, of("deny").allowed), (5, 0));
    assert_eq!((of("allow").uncounted, of("allow").allowed), (5, 0));
    assert_eq!((of("local").allowed, of("local").limited), (3, 2));
    assert_eq!(all.fallback_decisions, 10);
    let errors = all.store.errors;
    assert_eq!(errors.failed + errors.not_applied + errors.unavailable, 15, "{errors:?}");
    let [server] = &all.store.servers[..] else { panic!("one server: {:?}", all.store) };
    assert!(server.calls.failed > 0 && server.calls.calls >= server.calls.failed, "{server:?}");
}

/// Whatever clients send, the names in a snapshot are those of the configuration.
#[tokio::test]
async fn hostile_keys_add_no_name() {
    let key = KeySpec::parse(["header:x-api-key"]).unwrap();
    let limiter = limiter([policy("api", "1/hour").with_key(key).unwrap()]).await;
    let names = |limiter: &Limiter| serde_json::to_value(limiter.stats()).unwrap();
    let shape = |value: &serde_json::Value| {
        value["policies"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let before = shape(&names(&limiter));
    for n in 0..2_000 {
        let request = from("192.0.2.1").with("x-api-key", format!("sec\"ret}}\n{{{n}"));
        let _ = request.ask(&limiter, "api").await.unwrap();
    }
    let after = names(&limiter);
    assert_eq!(shape(&after), before);
    assert!(!after.to_string().contains("ret}"), "{after}");
    let refused = serde_json::to_string(&limiter.top_refused("api.address", 10).unwrap()).unwrap();
    assert!(refused.contains("ip=192.0.2.1") && !refused.contains("ret"), "{refused}");
}

#[tokio::test]
async fn refused_keys_are_known_with_quota_and_ban() {
    let limiter = limiter([policy("api", "2/hour; 9/day").with_ban(ban_after(5))]).await;
    let api = limiter.policy("api").unwrap();
    for (key, times) in [("a", 4), ("b", 3), ("c", 2), ("d", 20)] {
        (0..times).for_each(|_| check(&api, &Key::user(key)));
    }
    let top = limiter.top_refused("api", 10).unwrap();
    let shown: Vec<_> = top.iter().map(|one| (one.key.to_string(), one.count, one.error)).collect();
    let expected = [("user=d", 18, 0), ("user=a", 2, 0), ("user=b", 1, 0)];
    assert_eq!(shown, expected.map(|(key, count, error)| (key.to_owned(), count, error)));
    assert_eq!(top[1].quota.unwrap().to_string(), "2/1h");
    assert!(top[0].quota.is_none() && top[0].first_seen <= top[0].last_seen, "{top:?}");
    assert_eq!(limiter.top_refused("api", 1).unwrap().len(), 1);
    assert!(limiter.top_refused("other", 1).is_err());
}

/// The snapshot has the entries in memory, with their caps.
#[tokio::test]
async fn entries_are_told_with_their_caps() {
    let store = MemoryStore::builder().max_keys(1_600).max_bans(50).build();
    let limiter = Limiter::builder()
        .store(store.clone())
        .policy(policy("api", "5/hour"))
        .build()
        .await
        .unwrap();
    let api = limiter.policy("api").unwrap();
    (0..300).for_each(|n| check(&api, &Key::user(&n.to_string())));
    let entries = limiter.stats().store.entries;
    let kept: Vec<_> = entries.iter().map(|one| (one.kind, one.count, one.capacity)).collect();
    assert_eq!(kept, [("keys", store.len() as u64, 1_600), ("bans", 0, 50)]);
}

/// The same policy in shadow mode counts in other counters.
#[tokio::test]
async fn shadow_mode_has_counters_of_its_own() {
    let rule = ban_after(3);
    let limiter = limiter([policy("api", "5/hour").with_ban(rule).with_mode(Mode::Shadow)]).await;
    let api = limiter.policy("api").unwrap();
    (0..10).for_each(|_| check(&api, &Key::user("a")));
    let sums = stats(&limiter, "api");
    assert_eq!((sums.allowed, sums.near_limit), (5, 2));
    assert_eq!((sums.shadow_limited, sums.shadow_banned, sums.shadow_strikes), (2, 3, 3));
    assert_eq!((sums.limited, sums.banned, sums.strikes, sums.shadow_bans), (0, 0, 0, 1));
    assert_eq!((sums.bans.refusals, sums.mode), (0, "shadow"));
    assert_eq!(limiter.top_refused("api", 1).unwrap()[0].count, 5);
}

//! Explanations: what they say, that the next check then does it, and that nothing is
//! written for them.

mod reads;

use std::{sync::atomic::Ordering, time::Duration};

use limiter_core::{
    AdmitOptions, AnsweredBy, BanRule, ClientIp, Explanation, Key, KeySpec, Limiter, ManualClock,
    MemoryStore, Mode, OnStoreError, Policy, PolicySet, Quota, RequestInfo, Store, Timestamp,
};
use tokio::runtime::Runtime;

use crate::{
    databases::{clocked_store, on_databases, unique},
    switchable_store::SwitchableStore,
    test_request::from,
};

on_databases! {
    the_next_request_gets_what_is_explained
}

const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

#[test]
fn in_memory_the_next_request_gets_what_is_explained() {
    let clock = ManualClock::new(START);
    let store = MemoryStore::builder().clock(clock.clone()).build();
    Runtime::new().unwrap().block_on(assert_explained(store, clock));
}

fn the_next_request_gets_what_is_explained(url: &str) {
    let clock = ManualClock::new(START);
    Runtime::new().unwrap().block_on(async {
        let store = clocked_store(url, &unique("explained"), clock.clone()).await;
        assert_explained(store, clock).await;
    });
}

/// Policies of all kinds: bans, a window, a shadow policy.
async fn limiter(store: impl Store) -> Limiter {
    let seconds = Duration::from_secs;
    let rule = BanRule::after_strikes(3).within(seconds(9)).for_duration(seconds(2)).unwrap();
    let window: Quota = "9/7s".parse().unwrap();
    let window = window.with_algorithm("sliding_window".parse().unwrap()).unwrap();
    Limiter::builder()
        .store(store)
        .policy(Policy::new("api", "3/2s; 7/5s").unwrap().with_ban(rule))
        .policy(Policy::new("all", window).unwrap().with_key("global").unwrap())
        .policy(Policy::new("new", "2/4s").unwrap().with_mode(Mode::Shadow))
        .build()
        .await
        .unwrap()
}

/// The status and the wait of a request that is really made.
async fn send(set: &PolicySet, request: &dyn RequestInfo, cost: u64) -> (u16, Option<Duration>) {
    let options = AdmitOptions::default().with_cost(cost);
    match set.admit(request, options).await {
        Ok(_) => (200, None),
        Err(refusal) => (refusal.status(), refusal.retry_after()),
    }
}

fn explained(explanation: &Explanation) -> (u16, Option<Duration>) {
    (explanation.answer.status.unwrap_or(200), explanation.answer.retry_after)
}

async fn assert_explained(store: impl Store, clock: ManualClock) {
    let limiter = limiter(store).await;
    let set = limiter.policies(["api", "all", "new"]).unwrap();
    let clients = ["192.0.2.1", "192.0.2.2"].map(from);
    let (mut random, mut met) = (7_u64, [0; 3]);
    for step in 0..500 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let draw = |bits: u32, of: u64| (random >> bits) % of;
        if draw(20, 3) == 0 {
            clock.advance(Duration::from_millis(draw(30, 2_500)));
        }
        let (client, cost) = (&clients[usize::from(draw(33, 4) == 0)], 1 + draw(40, 3));
        let options = AdmitOptions::default().with_cost(cost);
        // Refusals that are kept age by the process' clock, not by the manual one: a reset
        // by hand forgets them.
        limiter.reset("new", &Key::user("nobody")).await.unwrap();
        let explanation = set.explain(client, &options).await;
        assert_eq!(explanation, set.explain(client, &options).await, "step {step}");
        assert_eq!(explanation.answer.by, AnsweredBy::Store, "step {step}");
        let sent = send(&set, client, cost).await;
        met[match sent.0 {
            200 => 0,
            429 => 1,
            _ => 2,
        }] += 1;
        assert_eq!(explained(&explanation), sent, "step {step}: {explanation}");
    }
    assert!(met.iter().all(|times| *times > 20), "admitted, limited, banned: {met:?}");
}

/// How the client's address was found, and which list has it.
#[tokio::test]
async fn it_says_whose_request_it_is() {
    let client_ip = ClientIp::default().with_proxies(["10.0.0.0/8"], "x-forwarded-for").unwrap();
    let limiter = Limiter::builder()
        .policy(Policy::new("api", "5/hour").unwrap())
        .client_ip(client_ip)
        .block("203.0.113.0/24")
        .build()
        .await
        .unwrap();
    let set = limiter.policy("api").unwrap();
    let explain = |request| set.explain(&request, &AdmitOptions::default());
    let peer = explain(from("192.0.2.1")).await;
    assert_eq!(peer.client.found_in.as_deref(), Some("peer"));
    assert_eq!(peer.policies[0].key, "ip=192.0.2.1");
    let forwarded = from("10.0.0.1").with("x-forwarded-for", "198.51.100.7");
    let forwarded = explain(forwarded).await;
    assert_eq!(forwarded.client.address, Some("198.51.100.7".parse().unwrap()));
    assert_eq!(forwarded.client.found_in.as_deref(), Some("x-forwarded-for"));
    let blocked = explain(from("203.0.113.9")).await;
    assert_eq!(explained(&blocked), (403, None));
    assert_eq!(
        (blocked.client.list, blocked.client.network.as_deref()),
        (Some("block"), Some("203.0.113.0/24"))
    );
    assert!(blocked.policies.is_empty());
    // A proxy that does not send the header.
    assert_eq!(explained(&explain(from("10.0.0.1")).await).0, 400);
    assert_eq!(explained(&explain(from("unix socket")).await).0, 500);
}

/// An API key is in no form of an explanation.
#[tokio::test]
async fn it_has_no_secret() {
    let key = KeySpec::parse(["header:x-api-key"]).unwrap();
    let policy = Policy::new("api", "1/hour").unwrap().with_key(key).unwrap();
    let limiter = Limiter::builder().policy(policy).build().await.unwrap();
    let set = limiter.policy("api").unwrap();
    let request = from("192.0.2.1").with("x-api-key", "s3cret-api-key");
    send(&set, &request, 1).await;
    let explanation = set.explain(&request, &AdmitOptions::default()).await;
    assert_eq!((explanation.policies.len(), explained(&explanation).0), (2, 429));
    let forms = [
        explanation.to_string(),
        format!("{explanation:?}"),
        serde_json::to_string(&explanation).unwrap(),
    ];
    for form in forms {
        assert!(form.contains("header:x-api-key=#") && form.contains("api.address"), "{form}");
        assert!(!form.contains("s3cret"), "{form}");
    }
}

/// Text and JSON for the person on call.
#[tokio::test]
async fn it_reads_well() {
    let clock = ManualClock::new(START);
    let limiter = limiter(MemoryStore::builder().clock(clock).build()).await;
    let set = limiter.policy("api").unwrap();
    let request = from("192.0.2.1");
    for cost in [3, 1] {
        send(&set, &request, cost).await;
    }
    let explanation = set.explain(&request, &AdmitOptions::default()).await;
    assert_eq!(
        explanation.to_string(),
        "client: 192.0.2.1 (peer)\n\
         policy api (enforce), key ip=192.0.2.1\n  \
         3/2s: 3 used, 0 left, nothing used in 2s\n  \
         7/5s: 3 used, 4 left, nothing used in 2s 142ms 858us\n  \
         strikes: 1 of 3\n\
         answer: 429, the same request passes in 666ms 667us, by the store"
    );
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["policies"][0]["quotas"][0]["reset_after_micros"], 2_000_000);
    assert_eq!(json["answer"]["by"], "store");
    let by_key = set.explain_key(&Key::ip("192.0.2.1".parse().unwrap()), 1).await;
    assert_eq!(by_key.policies, explanation.policies);
}

/// While the store is away, the policies' `on_store_error` answers, and what it has
/// counted is explained.
#[tokio::test]
async fn it_says_who_answers_while_the_store_is_away() {
    let store = SwitchableStore::default();
    let policy = |name: &str, on_store_error| {
        Policy::new(name, "2/hour").unwrap().with_on_store_error(on_store_error)
    };
    let limiter = Limiter::builder()
        .store(store.clone())
        .policy(policy("local", OnStoreError::Local))
        .policy(policy("deny", OnStoreError::Deny))
        .policy(policy("allow", OnStoreError::Allow))
        .build()
        .await
        .unwrap();
    store.off.store(true, Ordering::Relaxed);
    let request = from("192.0.2.1");
    for (name, statuses) in [("local", [200, 200, 429]), ("deny", [503; 3]), ("allow", [200; 3])] {
        let set = limiter.policy(name).unwrap();
        for expected in statuses {
            let explanation = set.explain(&request, &AdmitOptions::default()).await;
            assert_eq!(explanation.answer.by, AnsweredBy::Fallback, "{name}: {explanation}");
            assert_eq!(explained(&explanation).0, expected, "{name}: {explanation}");
            assert_eq!(explanation.policies[0].quotas.is_empty(), name != "local");
            assert_eq!(send(&set, &request, 1).await.0, expected, "{name}");
        }
    }
}

/// The refusal that the deny cache would give, and not the one request of a second that
/// goes to the store.
#[tokio::test]
async fn it_knows_the_deny_cache() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone()).await;
    let set = limiter.policy("all").unwrap();
    let request = from("192.0.2.1");
    for cost in [9, 1] {
        send(&set, &request, cost).await;
    }
    let explanation = set.explain(&request, &AdmitOptions::default()).await;
    assert_eq!(explanation.answer.by, AnsweredBy::DenyCache, "{explanation}");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for _ in 0..2 {
        let explanation = set.explain(&request, &AdmitOptions::default()).await;
        assert_eq!(explanation.answer.by, AnsweredBy::Store, "{explanation}");
    }
}

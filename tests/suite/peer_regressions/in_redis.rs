//! Bugs of other limiters on Redis.

use std::time::{Duration, Instant};

use limiter_core::{Algorithm, Key, Limiter, Policy, Quota, Verdict};
use redis::Commands;

use crate::{
    databases::{builder, cluster_url, unique},
    servers::start_redis,
    test_request::from,
};

/// actix-limitation: a window below a second becomes none in Redis. And
/// limitador#162: a thousand times too long.
#[tokio::test]
async fn windows_below_a_second_are_what_they_are_in_redis() {
    let url = start_redis();
    let store = builder(&url, "short").connect().await.unwrap();
    let mut builder = Limiter::builder().store(store);
    for algorithm in Algorithm::ALL.iter().copied() {
        let quota = Quota::new(1, Duration::from_millis(300)).unwrap();
        let quota = quota.with_algorithm(algorithm).unwrap();
        let name = algorithm.as_str();
        builder = builder.policy(Policy::new(name, quota).unwrap());
    }
    let limiter = builder.build().await.unwrap();
    for name in ["gcra", "fixed_window", "sliding_window", "strict_window"] {
        let start = Instant::now();
        assert_eq!(from("192.0.2.1").admitted(&limiter, name, 1).await, 1);
        let refused = from("192.0.2.1").ask(&limiter, name).await.unwrap();
        if start.elapsed() < Duration::from_millis(200) {
            assert_eq!(refused.verdict(), Verdict::Limited, "{name}");
        }
        tokio::time::sleep(Duration::from_millis(601)).await;
        assert_eq!(from("192.0.2.1").admitted(&limiter, name, 1).await, 1, "{name}");
    }
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    for key in connection.keys::<_, Vec<String>>("*").unwrap() {
        let left: i64 = connection.pttl(&key).unwrap();
        // A minute beyond their use; two where a record may be written again
        // without a new time to live.
        assert!((1..=121_000).contains(&left), "{key}: {left}");
    }
}

/// spring-cloud-gateway#248, posthog#60838: keys in several slots of a cluster,
/// which refuses, and the limiter lets pass.
#[tokio::test]
async fn keys_of_several_slots_are_limited() {
    let store = builder(cluster_url(), &unique("slots")).connect().await.unwrap();
    let quota = || Quota::per_hour(3).unwrap();
    let policies = ["one", "two", "three"].map(|name| Policy::new(name, quota()).unwrap());
    let limiter =
        policies.into_iter().fold(Limiter::builder().store(store), |all, one| all.policy(one));
    let limiter = limiter.build().await.unwrap();
    let together = limiter.policies(["one", "two", "three"]).unwrap();
    let subjects = limiter.subjects(["a", "b", "c"].map(Key::user));
    let mut admitted = 0;
    for _ in 0..9 {
        admitted += u32::from(together.check(&subjects, 1).await.unwrap().is_allowed());
    }
    assert_eq!(admitted, 3);
}

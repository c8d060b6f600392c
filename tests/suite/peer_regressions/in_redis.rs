//! Bugs of other limiters on Redis.

use std::time::{Duration, Instant};

use limiter_core::{Algorithm, Key, Limiter, Policy, Quota, Verdict};
use redis::Commands;

use crate::{
    databases::{builder, cluster_url, redis_url, unique},
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

/// actix-extensible-rate-limit: what is given back late is taken out of the
/// next window. The script's own step, since it all happens at one instant else.
#[test]
fn what_is_given_back_late_is_gone() {
    // The places of the numbers, as `store/remote/script_params.rs` names them.
    let script = concat!(
        "local OPERATION, UNITS, ITEMS, FORM_SIZE = 0, 1, 2, 3\n",
        "local BYTES, SHADOW, QUOTAS, RULED, ITEM_SIZE = 0, 1, 2, 3, 4\n",
        "local ALGORITHM, LIMIT, WINDOW, NEVER, BURST, COST, COST_REST, FULL, FULL_REST, MOST, \
         MOST_REST, QUOTA_SIZE = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n",
        include_str!("../../../limiter-core/src/store/redis/lua/algorithms.lua"),
        "\n",
        include_str!("../../../limiter-core/src/store/redis/lua/state.lua"),
        "\n",
        include_str!("../../../limiter-core/src/store/redis/lua/check.lua"),
    );
    let mut connection = redis::Client::open(redis_url()).unwrap().get_connection().unwrap();
    let key = unique("late");
    let packed = |numbers: &[u64]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
    // The grace and one run, once, of the form at 7; to settle one item, whose counter has 16 bytes and one quota: a fixed window of a second,
    // ten units.
    let run = [1_000_000, 1, 7, 2_500_000, 1, 1, 2, 0, 1];
    let item = [16, 0, 1, 0, 1, 10, 1_000_000, 0, 10, 0, 0, 0, 0, 0, 0];
    let told = packed(&[&run[..], &item[..]].concat());
    // A window of which five units of ten were used; one is to be given back that
    // was charged in it, or in the one before.
    for (charged_in, left) in [(2_000_000, 4), (1_000_000, 5)] {
        let () = connection.set(&key, packed(&[2_000_000, 5, 0])).unwrap();
        // No strike; given back; one unit, and the mark.
        let settlement = packed(&[0, 1, 1, 0, charged_in, 0]);
        let mut call = redis::cmd("EVAL");
        call.arg(script).arg(1).arg(&key).arg(&told).arg(settlement);
        let _: Vec<u8> = call.query(&mut connection).unwrap();
        let kept: Vec<u8> = connection.get(&key).unwrap();
        // The third number: until when the record is kept, unknown by a clock of ours.
        assert_eq!(kept, packed(&[2_000_000, left, 0]));
    }
}

//! Cases of each algorithm: what passes, what is left, and how long to wait.

use std::time::Duration;

use super::harness::{Harness, policy, secs, wait};
use crate::{Algorithm, Clock, Policy, Quotas, Retry, Timestamp, Verdict, quota::MAX_UNITS};

pub(super) fn counted_by(algorithm: Algorithm, quotas: &str) -> [Policy; 1] {
    let quotas: Quotas = quotas.parse().expect("the case's quota is one");
    let quotas = quotas.with_algorithm(algorithm).expect("the case's quota has no burst");
    [Policy::new("counted", quotas).expect("the case's name is one")]
}

/// Puts the clock to the start of a window of that length.
pub(super) fn align(harness: &Harness, window: Duration) {
    let now = harness.clock().now().as_micros();
    let window = u64::try_from(window.as_micros()).expect("a case's window is short");
    harness.advance(Duration::from_micros(window - now % window));
}

/// GCRA with 3 per 10 ms admits at the instants of its definition.
pub async fn exact_where_the_interval_is_not_whole(harness: &Harness) {
    let (policies, client) = ([policy("exact", "3/10ms")], harness.subject("client"));
    let mut admitted = Vec::new();
    for millisecond in 0..=30 {
        if harness.check(&policies, &client, 1).await.is_allowed() {
            admitted.push(millisecond);
        }
        harness.advance(Duration::from_millis(1));
    }
    assert_eq!(admitted, [0, 1, 2, 4, 7, 10, 14, 17, 20, 24, 27, 30]);
}

/// `limit` pass, the next gets exactly how long to wait.
pub async fn every_algorithm_admits_its_limit_and_then_waits(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "5/minute");
        let client = harness.subject(algorithm.as_str());
        for remaining in (0..5).rev() {
            let decision = harness.check(&policies, &client, 1).await;
            assert!(decision.is_allowed(), "{algorithm:?}");
            assert_eq!(decision.quotas()[0].remaining(), remaining, "{algorithm:?}");
            assert_eq!(decision.quotas()[0].limit(), 5);
        }
        let refused = harness.check(&policies, &client, 1).await;
        assert_eq!(refused.verdict(), Verdict::Limited, "{algorithm:?}");
        assert!(refused.quotas()[0].refuses());
        harness.advance(wait(&refused) - Duration::from_micros(1));
        assert!(!harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?}: early");
        harness.advance(Duration::from_micros(1));
        assert!(harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?}: late");
    }
}

/// A fixed window is not aligned to anything but its first request.
pub async fn a_fixed_window_starts_at_the_first_request(harness: &Harness) {
    let policies = counted_by(Algorithm::FixedWindow, "2/minute");
    let client = harness.subject("client");
    align(harness, secs(60));
    harness.advance(secs(59));
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
    harness.advance(secs(2));
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
    assert_eq!(wait(&harness.check(&policies, &client, 1).await), secs(58));
    harness.advance(secs(58));
    assert!(harness.check(&policies, &client, 2).await.is_allowed());
}

/// Windows that begin at a set time do so for all keys, and end then, whenever a key's
/// first request came.
pub async fn a_fixed_window_starts_at_a_set_time(harness: &Harness) {
    for (quota, hour) in [("2/day from midnight UTC", 0), ("2/day from 03:00 -04:00", 7)] {
        let policies = [policy("aligned", quota)];
        align(harness, secs(86_400));
        harness.advance(secs(86_400 + hour * 3_600) - Duration::from_micros(1));
        for client in ["early", "late"].map(|name| harness.subject(name)) {
            assert!(harness.check(&policies, &client, 1).await.is_allowed(), "{quota}");
        }
        let early = harness.subject("early");
        assert!(harness.check(&policies, &early, 1).await.is_allowed(), "{quota}");
        let refused = harness.check(&policies, &early, 1).await;
        assert_eq!(wait(&refused), Duration::from_micros(1), "{quota}");
        harness.advance(Duration::from_micros(1));
        // A new day, of which an hour has passed before anybody comes.
        harness.advance(secs(3_600));
        for client in ["early", "late"].map(|name| harness.subject(name)) {
            assert!(harness.check(&policies, &client, 2).await.is_allowed(), "{quota}");
            let refused = harness.check(&policies, &client, 1).await;
            assert_eq!(wait(&refused), secs(23 * 3_600), "{quota}");
        }
        // The clock steps back behind the start: the window stays the one that was used.
        harness
            .clock()
            .set(Timestamp::from_micros(harness.clock().now().as_micros() - 2 * 3_600 * 1_000_000));
        assert_eq!(wait(&harness.check(&policies, &early, 1).await), secs(25 * 3_600), "{quota}");
        harness.advance(secs(25 * 3_600));
        assert!(harness.check(&policies, &early, 2).await.is_allowed(), "{quota}");
    }
}

/// Rounded down, a limit of 1 would pass twice within two milliseconds.
pub async fn a_sliding_window_rounds_up(harness: &Harness) {
    let policies = counted_by(Algorithm::SlidingWindow, "1/ms");
    let client = harness.subject("client");
    align(harness, Duration::from_millis(1));
    harness.advance(Duration::from_micros(999));
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
    for _ in 0..1_000 {
        harness.advance(Duration::from_micros(1));
        assert!(!harness.check(&policies, &client, 1).await.is_allowed());
    }
    harness.advance(Duration::from_micros(1));
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
}

/// The bucket holds `burst`, and fills at `limit` a window.
pub async fn a_bucket_fills_to_its_burst(harness: &Harness) {
    let (policies, client) = ([policy("bursty", "10/s burst 25")], harness.subject("client"));
    assert!(harness.check(&policies, &client, 25).await.is_allowed());
    assert_eq!(wait(&harness.check(&policies, &client, 1).await), Duration::from_millis(100));
    harness.advance(secs(1));
    assert!(harness.check(&policies, &client, 10).await.is_allowed());
    assert!(!harness.check(&policies, &client, 1).await.is_allowed());
    // A long rest gives a burst, and not one unit more.
    harness.advance(secs(3_600));
    assert!(!harness.check(&policies, &client, 26).await.is_allowed());
    assert!(harness.check(&policies, &client, 25).await.is_allowed());
    assert!(!harness.check(&policies, &client, 1).await.is_allowed());
}

/// A bucket that takes ninety years to drain forgets no unit before.
pub async fn a_bucket_may_take_a_lifetime_to_drain(harness: &Harness) {
    let policies = [policy("lifetime", "1/3650d burst 9")];
    let client = harness.subject("client");
    for _ in 0..9 {
        assert!(harness.check(&policies, &client, 1).await.is_allowed());
    }
    let refused = harness.check(&policies, &client, 1).await;
    assert_eq!(wait(&refused), secs(3_650 * 86_400));
    harness.advance(secs(3_650 * 86_400));
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
    assert!(!harness.check(&policies, &client, 1).await.is_allowed());
}

/// No burst of two after a rest.
pub async fn a_limit_of_one_passes_once(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "1/minute");
        let client = harness.subject(algorithm.as_str());
        for _ in 0..2 {
            assert!(harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?}");
            assert!(!harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?}");
            harness.advance(secs(3_600));
        }
    }
}

/// A cost that does not fit charges nothing.
pub async fn a_cost_is_charged_whole_or_not_at_all(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "10/minute");
        let client = harness.subject(algorithm.as_str());
        assert!(harness.check(&policies, &client, 7).await.is_allowed());
        for _ in 0..3 {
            let refused = harness.check(&policies, &client, 4).await;
            assert_eq!(refused.verdict(), Verdict::Limited);
            assert_eq!(refused.quotas()[0].remaining(), 3, "{algorithm:?}");
        }
        assert!(harness.check(&policies, &client, 3).await.is_allowed(), "{algorithm:?}");
    }
}

/// It is refused without a time to wait, and charged nothing.
pub async fn more_than_there_ever_is_never_passes(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "10/minute");
        let client = harness.subject(algorithm.as_str());
        for cost in [11, u64::MAX] {
            let refused = harness.check(&policies, &client, cost).await;
            assert_eq!((refused.verdict(), refused.retry()), (Verdict::Limited, Retry::Never));
        }
        assert!(harness.check(&policies, &client, 10).await.is_allowed(), "{algorithm:?}");
    }
}

/// A cost of 0 shows what is left, before and after.
pub async fn a_cost_of_nothing_looks_without_writing(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "3/minute");
        let client = harness.subject(algorithm.as_str());
        for _ in 0..5 {
            let look = harness.check(&policies, &client, 0).await;
            assert_eq!(look.quotas()[0].remaining(), 3, "{algorithm:?}");
            assert!(look.quotas()[0].reset_after().is_zero());
        }
        assert!(harness.check(&policies, &client, 3).await.is_allowed());
        let look = harness.check(&policies, &client, 0).await;
        assert!(look.is_allowed() && look.quotas()[0].remaining() == 0);
    }
}

/// A refusal by one quota charges none of the others.
pub async fn several_quotas_are_all_or_nothing(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "2/second; 5/hour");
        let client = harness.subject(algorithm.as_str());
        align(harness, secs(3_600));
        assert!(harness.check(&policies, &client, 2).await.is_allowed());
        for _ in 0..10 {
            let refused = harness.check(&policies, &client, 1).await;
            assert!(refused.quotas()[0].refuses() && !refused.quotas()[1].refuses());
        }
        harness.advance(secs(2));
        assert!(harness.check(&policies, &client, 2).await.is_allowed(), "{algorithm:?}");
        harness.advance(secs(2));
        let refused = harness.check(&policies, &client, 2).await;
        assert!(!refused.quotas()[0].refuses() && refused.quotas()[1].refuses());
        assert!(harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?}");
    }
}

/// `"a; b"` is `"b; a"`, state included.
pub async fn the_order_of_quotas_makes_no_difference(harness: &Harness) {
    let client = harness.subject("client");
    let one = [policy("ordered", "2/second; 5/hour")];
    let other = [policy("ordered", "5/hour; 2/second")];
    assert!(harness.check(&one, &client, 1).await.is_allowed());
    let decision = harness.check(&other, &client, 1).await;
    let remaining: Vec<_> = decision.quotas().iter().map(|quota| quota.remaining()).collect();
    assert_eq!(remaining, [0, 3]);
}

/// At worst two full buckets or windows, however far the clock steps back.
pub async fn a_clock_that_steps_back_locks_nobody_out(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "2/minute");
        let client = harness.subject(algorithm.as_str());
        let now = harness.clock().now();
        assert!(harness.check(&policies, &client, 2).await.is_allowed());
        for back in [1, 30_000_000, 3_600_000_000] {
            harness.clock().set(Timestamp::from_micros(now.as_micros() - back));
            let decision = harness.check(&policies, &client, 1).await;
            if !decision.is_allowed() {
                assert!(wait(&decision) <= secs(180), "{algorithm:?}: {decision:?}");
            }
        }
        harness.clock().set(now);
    }
}

/// 15 digits of units, to the last.
pub async fn the_largest_quota_is_exact(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, &format!("{MAX_UNITS}/day"));
        let client = harness.subject(algorithm.as_str());
        align(harness, secs(86_400));
        assert!(harness.check(&policies, &client, MAX_UNITS - 1).await.is_allowed());
        let last = harness.check(&policies, &client, 1).await;
        assert!(last.is_allowed() && last.quotas()[0].remaining() == 0, "{algorithm:?}");
        assert!(!harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?}");
    }
}

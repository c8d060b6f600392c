//! Outcomes that a handler records by hand, before the response with its own status.

use limiter_core::{MemoryStore, Policy};

use super::{admit, left, limiter, reserving};

/// A form that answers a wrong password with a page: the response is 200.
#[tokio::test]
async fn a_failure_counts_though_the_response_is_a_success() {
    let policy = Policy::new("api", "5/day").unwrap().with_count_only([401]).unwrap();
    let policies = limiter(MemoryStore::new(), policy).await.policy("api").unwrap();
    for used in 1..=5 {
        let permit = admit(&policies, 1).await.unwrap();
        permit.record_response(401).await;
        permit.record_final_response(200).await;
        assert_eq!(left(&policies).await, 5 - used);
        // It can still be given back on purpose.
        permit.charge_to(0).await;
        assert_eq!(left(&policies).await, 6 - used);
        permit.charge_to(1).await;
    }
    assert!(admit(&policies, 1).await.is_none());
}

/// A request that is given back by hand stays so, whatever the response is.
#[tokio::test]
async fn a_success_is_given_back_though_the_response_is_an_error() {
    let policy = Policy::new("api", "5/day").unwrap().with_refund(["5xx"]).unwrap();
    let policies = limiter(MemoryStore::new(), policy).await.policy("api").unwrap();
    let permit = admit(&policies, 1).await.unwrap();
    permit.record_response(503).await;
    permit.record_final_response(200).await;
    assert_eq!(left(&policies).await, 5);
}

#[tokio::test]
async fn a_strike_keeps_its_reservation() {
    let policy = Policy::new("api", "100/day").unwrap().with_ban(reserving(3));
    let policies = limiter(MemoryStore::new(), policy).await.policy("api").unwrap();
    for _ in 0..2 {
        let permit = admit(&policies, 1).await.unwrap();
        permit.record_response(401).await;
        permit.record_final_response(200).await;
    }
    // Two of three strikes: one more request may be under way.
    let open = admit(&policies, 1).await;
    assert!(open.is_some());
    assert!(admit(&policies, 1).await.is_none());
}

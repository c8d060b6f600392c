//! Charges of one request: how many can be given back, beside those of others, and under a
//! plan.

use limiter_core::{MemoryStore, Permit, Policy, PolicySet, Quotas};

use super::{admit, left, limiter, reserving};
use crate::switchable_store::SwitchableStore;

async fn policy_set(policy: Policy) -> PolicySet {
    limiter(MemoryStore::new(), policy).await.policy("api").unwrap()
}

/// Charges two requests in turn, up to that many units each.
async fn charge_in_turn(policies: &PolicySet, units: u64) -> [Permit; 2] {
    let permits = [admit(policies, 1).await.unwrap(), admit(policies, 1).await.unwrap()];
    for total in 2..=units {
        for permit in &permits {
            permit.charge_to(total).await;
        }
    }
    permits
}

#[tokio::test]
async fn of_many_charges_between_those_of_others_the_oldest_stand() {
    let policies = policy_set(Policy::new("api", "100/day").unwrap()).await;
    let [first, other] = charge_in_turn(&policies, 20).await;
    assert_eq!(left(&policies).await, 60);
    first.charge_to(0).await;
    // 15 are known apart. The five oldest are one, which stands.
    assert_eq!(left(&policies).await, 75);
    first.charge_to(0).await;
    assert_eq!(left(&policies).await, 75, "they are given back once");
    other.charge_to(18).await;
    assert_eq!(left(&policies).await, 77);
    // In a window all are in the same place.
    let policy = Policy::new("api", "100/day").unwrap();
    let quotas = policy.quotas().clone().with_algorithm("fixed_window".parse().unwrap()).unwrap();
    let policies = policy_set(Policy::new("api", quotas).unwrap()).await;
    let [first, _] = charge_in_turn(&policies, 20).await;
    first.charge_to(0).await;
    assert_eq!(left(&policies).await, 80);
}

/// Charges that follow each other are one, which is given back by one operation.
#[tokio::test]
async fn a_stream_alone_is_given_back_whole() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone(), Policy::new("api", "1000/day").unwrap()).await;
    let policies = limiter.policy("api").unwrap();
    let permit = admit(&policies, 1).await.unwrap();
    for total in 2..=500 {
        permit.charge_to(total).await;
    }
    let asked = || store.asked.load(std::sync::atomic::Ordering::Relaxed);
    let before = asked();
    permit.charge_to(0).await;
    assert_eq!((asked() - before, left(&policies).await), (1, 1_000));
}

#[tokio::test]
async fn a_request_is_settled_under_its_plan() {
    let policy = Policy::new("api", "5/hour").unwrap().with_refund(["5xx"]).unwrap();
    let free = policy_set(policy).await;
    let paying = free.with_quotas("api", &"50/hour".parse::<Quotas>().unwrap()).unwrap();
    for _ in 0..100 {
        let permit = admit(&paying, 5).await.unwrap();
        permit.record_response(500).await;
        assert_eq!(permit.fields()[1].1, "\"api\";r=50;t=3600");
    }
    assert_eq!((left(&paying).await, left(&free).await), (50, 5));
    // More than the small plan has, charged under the large one.
    let permit = admit(&paying, 1).await.unwrap();
    permit.charge_to(20).await;
    assert_eq!((left(&paying).await, left(&free).await), (30, 0));
    permit.charge_to(2).await;
    assert_eq!((left(&paying).await, left(&free).await), (48, 3));
}

#[tokio::test]
async fn reserved_strikes_ban_under_any_plan() {
    let free = policy_set(Policy::new("api", "50/hour").unwrap().with_ban(reserving(5))).await;
    let paying = free.with_quotas("api", &"500/hour".parse::<Quotas>().unwrap()).unwrap();
    let mut open = Vec::new();
    while let Some(permit) = admit(if open.len() % 2 == 0 { &paying } else { &free }, 1).await {
        open.push(permit);
    }
    assert_eq!(open.len(), 5, "one reservation for both plans");
    for permit in open {
        permit.record_response(401).await;
    }
    let key = free.limiter().ip_key("192.0.2.1".parse().unwrap());
    assert!(free.limiter().banned("api", &key).await.unwrap().is_some());
}

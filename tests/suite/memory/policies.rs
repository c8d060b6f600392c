//! Many policies that count the same keys, in a store that is nearly empty.

use limiter_core::{Check, MemoryStore, Policy, Quota, Store};

use super::address;

const POLICIES: usize = 12;
const CLIENTS: u32 = 60;
const ROUNDS: usize = 20;

/// So few counters may be displaced of the 14,400: by chance, where keys meet that
/// have all their counters in few buckets.
const DISPLACED: u64 = 8;

/// Two keys that meet do not displace one another, though they have more counters than
/// a bucket has slots. What was displaced comes back rounded up.
#[tokio::test]
async fn many_policies_of_a_key_do_not_fill_a_bucket() {
    let policy = |n| Policy::new(&format!("policy{n}"), Quota::per_hour(1_000).unwrap()).unwrap();
    let policies: Vec<Policy> = (0..POLICIES).map(policy).collect();
    let mut displaced = 0;
    for _ in 0..ROUNDS {
        let store = MemoryStore::builder().max_keys(100_000).build();
        for client in 0..CLIENTS {
            for policy in &policies {
                let (policies, subjects) = ([policy.clone()], [address(client)]);
                let _ = store.decide(Check::new(&policies, &subjects, 1)).await.unwrap();
            }
        }
        let all = u64::from(CLIENTS) * POLICIES as u64;
        displaced += all - store.len() as u64;
    }
    assert!(displaced <= DISPLACED, "{displaced}");
}

//! `MemoryStore::clear`: nothing is left of any kind of state.

use limiter_core::{Algorithm, Item, MemoryStore, Policy, Store};

use super::{address, ask, banning};

const CLIENTS: u32 = 500;

/// An overfull table, states that do not fit into a slot, bans.
#[tokio::test]
async fn a_store_that_is_cleared_is_as_new() {
    let store = MemoryStore::builder().max_keys(2_000).max_bans(10_000).build();
    let policy = |(n, algorithm): (usize, &Algorithm)| {
        banning(&format!("policy-{n}"), "1/day; 2/week", *algorithm)
    };
    let policies: Vec<Policy> = Algorithm::ALL.iter().enumerate().map(policy).collect();
    for round in 0..3 {
        for (at, policy) in policies.iter().enumerate() {
            for client in 0..CLIENTS {
                let first = ask(&store, policy, &address(client)).await;
                // Later clients find the table full.
                assert!(first.is_allowed() || at > 0 || client > 10, "{round}: {first:?}");
                for _ in 0..6 {
                    let _ = ask(&store, policy, &address(client)).await;
                }
            }
        }
        assert!(!store.is_empty());
        store.clear();
        assert!(store.is_empty(), "{round}: {} are left", store.len());
        for policy in &policies {
            for client in 0..CLIENTS {
                let item = Item { policy, subject: &address(client) };
                assert_eq!(store.ban(item).await.unwrap(), None, "{round}");
            }
        }
    }
}

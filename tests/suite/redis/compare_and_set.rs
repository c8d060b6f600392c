//! Rare operations on a counter that changes all the time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use limiter_core::{Check, Item, Key, Store};

use crate::{
    databases::store,
    remote::{policy, subject},
    servers::start_redis,
};

/// One server charges a key without a pause, and another one resets it: each reset finds its
/// turn between two charges, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_counter_is_reset() {
    let url = start_redis();
    let (busy, rare) = (store(&url, "busy").await, store(&url, "busy").await);
    let policy = policy("1000000/hour");
    let client = subject(Key::user("alice"));
    let (ends, charges) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (busy, policy, client) = (busy.clone(), policy.clone(), client.clone());
            let (ends, charges) = (Arc::clone(&ends), Arc::clone(&charges));
            tokio::spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let check = Check::new(std::slice::from_ref(&policy), &client, 1);
                    assert!(busy.decide(check).await.unwrap().is_allowed());
                    charges.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..100 {
        rare.reset(Item { policy: &policy, subject: &client[0] }).await.unwrap();
    }
    ends.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(charges.load(Ordering::Relaxed) > 100, "{charges:?}");
    rare.reset(Item { policy: &policy, subject: &client[0] }).await.unwrap();
    let check = Check::new(std::slice::from_ref(&policy), &client, 1);
    let decision = rare.decide(check).await.unwrap();
    assert_eq!(decision.quotas()[0].remaining(), 999_999);
}

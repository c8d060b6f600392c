//! Thousands of requests at once, of clients that vanish, on a store that is slow and goes
//! away: what is charged in the end is what was not given back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use limiter_core::{Algorithm, Health, Limiter, OnStoreError, Policy, PolicySet, Quota};

use super::{admit, left, limiter};
use crate::switchable_store::SwitchableStore;

const REQUESTS: u64 = 5_000;
const LIMIT: u64 = 1_000_000;

/// The outcome of all requests.
#[derive(Debug, Default)]
struct Counts {
    /// Units that were charged, and those of them that were to be given back.
    charged: AtomicU64,
    refunded: AtomicU64,
    /// Requests that were refused while the store was away. Where its answer only came too
    /// late, it has charged them.
    refused: AtomicU64,
}

/// Sends one request, whose client may be gone when it is answered.
async fn request(policies: PolicySet, number: u64, counts: Arc<Counts>) {
    let Some(permit) = admit(&policies, 1).await else {
        counts.refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    counts.charged.fetch_add(1, Ordering::Relaxed);
    for _ in 0..number % 7 {
        tokio::task::yield_now().await;
    }
    let is_refunded = number.is_multiple_of(3);
    counts.refunded.fetch_add(u64::from(is_refunded), Ordering::Relaxed);
    let settling = permit.record_response(if is_refunded { 500 } else { 200 });
    // The client of every other one is gone: the settlement goes on by itself.
    if number.is_multiple_of(2) {
        settling.await;
    }
}

/// Switches the store off and on until the flag is set.
async fn flap(store: SwitchableStore, ends: Arc<AtomicBool>) {
    while !ends.load(Ordering::Relaxed) {
        store.off.fetch_xor(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    store.off.store(false, Ordering::Relaxed);
}

async fn storm(algorithm: Algorithm, dies: bool) -> (Limiter, Arc<Counts>) {
    let store = SwitchableStore { slowness: 5, ..SwitchableStore::default() };
    let quota = Quota::per_day(LIMIT).unwrap().with_algorithm(algorithm).unwrap();
    let policy = Policy::new("api", quota).unwrap().with_refund(["5xx"]).unwrap();
    let limiter = limiter(store.clone(), policy.with_on_store_error(OnStoreError::Deny)).await;
    let policies = limiter.policy("api").unwrap();
    let (counts, ends) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(!dies)));
    let flapping = tokio::spawn(flap(store, Arc::clone(&ends)));
    let requests: Vec<_> = (0..REQUESTS)
        .map(|number| tokio::spawn(request(policies.clone(), number, Arc::clone(&counts))))
        .collect();
    for request in requests {
        request.await.unwrap();
    }
    ends.store(true, Ordering::Relaxed);
    flapping.await.unwrap();
    (limiter, counts)
}

/// Asserts that the units that are charged are those that were not given back, and at most
/// those besides that were refused or whose settlement was lost.
async fn assert_charged(limiter: &Limiter, counts: &Counts) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let least = count(&counts.charged) - count(&counts.refunded);
    let policies = limiter.policy("api").unwrap();
    let start = Instant::now();
    while limiter.health() != Health::Healthy {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", limiter.health());
        tokio::time::sleep(Duration::from_millis(20)).await;
        admit(&policies, 0).await;
    }
    loop {
        let used = LIMIT - left(&policies).await;
        let most = least + limiter.stats().lost_settlements + count(&counts.refused);
        assert!(used >= least, "{used} of {least}: given back twice");
        if used <= most {
            return;
        }
        // Settlements of clients that are gone may be under way.
        assert!(start.elapsed() < Duration::from_secs(30), "{used} of {least} to {most}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_vanish_and_nothing_is_given_back_twice() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::StrictWindow] {
        for dies in [false, true] {
            let (limiter, counts) = storm(algorithm, dies).await;
            assert_charged(&limiter, &counts).await;
        }
    }
}

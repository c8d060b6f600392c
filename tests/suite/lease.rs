//! Leased quota: two instances of an application, one busy key, real servers. Virtual time
//! and 1,000 nodes are in `limiter/lease/tests` of the core.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use limiter_core::{Algorithm, Key, Limiter, OnStoreError, Policy, Verdict};
use tokio::runtime::Runtime;

use crate::{
    databases::{on_databases, store, unique},
    switchable_store::SwitchableStore,
};

const LIMIT: u64 = 8_000;

fn policy() -> Policy {
    let quotas = Policy::new("api", format!("{LIMIT}/day").as_str()).unwrap();
    let quotas = quotas.quotas().with_algorithm(Algorithm::FixedWindow).unwrap();
    Policy::new("api", quotas).unwrap().with_lease(true)
}

async fn instance(url: &str, prefix: &str) -> Limiter {
    let store = store(url, prefix).await;
    Limiter::builder().store(store).policy(policy()).build().await.unwrap()
}

/// Sends requests of one tenant, so many at once, until `most` are admitted or one is
/// refused. Returns how many were admitted.
async fn run(limiter: &Limiter, at_once: u64, most: u64) -> u64 {
    let is_over = &AtomicBool::new(false);
    let task = |_| async move {
        let api = limiter.policy("api").unwrap();
        let tenant = api.subjects_of(&Key::user("tenant"));
        let mut admitted = 0;
        while admitted < most / at_once && !is_over.load(Ordering::Relaxed) {
            match api.check(&tenant, 1).await.unwrap().verdict() {
                Verdict::Allowed => admitted += 1,
                _ => is_over.store(true, Ordering::Relaxed),
            }
            tokio::task::yield_now().await;
        }
        admitted
    };
    futures_util::future::join_all((0..at_once).map(task)).await.iter().sum()
}

/// Longer than a slice and a refusal in the deny cache are kept.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1_300)).await;
}

on_databases! {
    two_instances_admit_the_limit_and_no_unit_less
    two_instances_with_a_thousand_requests_each_admit_the_limit
    the_slice_of_a_dead_instance_stays_charged
}

fn two_instances_admit_the_limit_and_no_unit_less(url: &str) {
    let leased = two_instances(url, 8);
    assert!(leased > LIMIT / 8, "{leased}");
}

fn two_instances_with_a_thousand_requests_each_admit_the_limit(url: &str) {
    // A quarter of the limit is under way before there is a slice.
    let leased = two_instances(url, 1_000);
    assert!(leased > 0, "{leased}");
}

/// Has two instances use the limit up, with so many requests at once each. Returns how many
/// were admitted from slices.
fn two_instances(url: &str, at_once: u64) -> u64 {
    let prefix = unique("lease");
    Runtime::new().unwrap().block_on(async {
        let instances = [instance(url, &prefix).await, instance(url, &prefix).await];
        let mut admitted = 0;
        for _ in 0..20 {
            let [first, second] = &instances;
            let (first, second) =
                tokio::join!(run(first, at_once, LIMIT), run(second, at_once, LIMIT));
            admitted += first + second;
            assert!(admitted <= LIMIT, "{admitted}");
            if admitted == LIMIT {
                break;
            }
            // What the slices have left goes back to the store.
            settle().await;
        }
        assert_eq!(admitted, LIMIT);
        instances.iter().map(|one| one.stats().leased_admissions).sum()
    })
}

/// An instance dies with a slice: its runtime ends, and then its limiter is dropped.
fn the_slice_of_a_dead_instance_stays_charged(url: &str) {
    let prefix = unique("lease");
    let dying = Runtime::new().unwrap();
    let (dead, mut admitted) = dying.block_on(async {
        let dead = instance(url, &prefix).await;
        let mut admitted = 0;
        // Until it is in the midst of a slice.
        while dead.stats().leased_admissions == 0 {
            assert_eq!(run(&dead, 1, 20).await, 20);
            admitted += 20;
            // A key is measured for 50 ms first: not all of the limit is used until then.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (dead, admitted)
    });
    dying.shutdown_background();
    drop(dead);
    Runtime::new().unwrap().block_on(async {
        let other = instance(url, &prefix).await;
        for _ in 0..3 {
            admitted += run(&other, 8, LIMIT).await;
            settle().await;
        }
    });
    assert!((LIMIT - LIMIT / 16..=LIMIT).contains(&admitted), "{admitted}");
}

/// A slice admits while the store hangs, and the requests that it does not admit wait no
/// longer than others.
#[tokio::test]
async fn a_store_that_hangs_in_the_middle_of_a_lease_holds_nobody_up() {
    let store = SwitchableStore::default();
    let policy = policy().with_on_store_error(OnStoreError::Local);
    let limiter = Limiter::builder().store(store.clone()).policy(policy).build().await.unwrap();
    while limiter.stats().leased_admissions < 100 {
        assert_eq!(run(&limiter, 1, 20).await, 20);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.hangs.store(true, Ordering::Relaxed);
    let started = std::time::Instant::now();
    assert_eq!(run(&limiter, 8, 800).await, 800);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(limiter.stats().fallback_decisions > 0);
    store.hangs.store(false, Ordering::Relaxed);
}

/// The first request that wants a slice hangs up: the slice is there for the others.
#[tokio::test]
async fn a_client_that_hangs_up_loses_no_slice() {
    let store = SwitchableStore { slowness: 3, ..SwitchableStore::default() };
    let limiter = Limiter::builder().store(store.clone()).policy(policy()).build().await.unwrap();
    let api = limiter.policy("api").unwrap();
    let tenant = api.subjects_of(&Key::user("tenant"));
    let (mut admitted, mut sent) = (0, 0);
    // Until slices were taken, however fast this machine is: a key is measured for 50 ms first.
    while limiter.stats().leased_admissions < 500 && sent < LIMIT {
        // Polled once.
        let _ = tokio::time::timeout(Duration::ZERO, api.check(&tenant, 1)).await;
        if api.check(&tenant, 1).await.unwrap().is_allowed() {
            admitted += 1;
        }
        sent += 2;
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    assert!(limiter.stats().leased_admissions >= 500);
    settle().await;
    let used = LIMIT - api.check(&tenant, 0).await.unwrap().quotas()[0].remaining();
    assert!(admitted == sent / 2 && (admitted..=sent).contains(&used), "{admitted} {used} {sent}");
}

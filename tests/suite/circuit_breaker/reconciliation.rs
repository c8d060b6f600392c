//! Usage that was admitted while the store was away, charged once it is back.

use std::{sync::atomic::Ordering, time::Duration};

use limiter_core::{AdmitOptions, Algorithm, BanRule, Key, Limiter, Policy, Quota, Store, Verdict};

use super::{ask, until_healthy};
use crate::{switchable_store::SwitchableStore, test_request::from};

/// One policy that counts in memory meanwhile: ten an hour, by that algorithm.
pub(super) async fn counting(store: impl Store, algorithm: Algorithm) -> Limiter {
    let quota = Quota::per_hour(10).unwrap().with_algorithm(algorithm).unwrap();
    let hour = Duration::from_secs(3_600);
    let rule = BanRule::after_strikes(3)
        .within(hour)
        .for_duration(hour)
        .and_then(|rule| rule.with_statuses([401]))
        .unwrap();
    let policy = Policy::new("allow", quota).unwrap().with_ban(rule);
    Limiter::builder().store(store).policy(policy).build().await.unwrap()
}

async fn remaining(limiter: &Limiter, user: &str) -> u64 {
    let policy = limiter.policy("allow").unwrap();
    let subjects = policy.subjects_of(&Key::user(user));
    policy.check(&subjects, 0).await.unwrap().quotas()[0].remaining()
}

#[tokio::test]
async fn what_was_admitted_meanwhile_is_charged_once_the_store_is_back() {
    for algorithm in Algorithm::ALL.iter().copied() {
        let store = SwitchableStore::default();
        let limiter = counting(store.clone(), algorithm).await;
        for _ in 0..2 {
            ask(&limiter, "allow", "alice").await.unwrap();
        }
        store.off.store(true, Ordering::Relaxed);
        for _ in 0..5 {
            assert_eq!(ask(&limiter, "allow", "alice").await.unwrap(), Verdict::Allowed);
        }
        store.off.store(false, Ordering::Relaxed);
        until_healthy(&limiter, Duration::from_secs(5)).await;
        assert_eq!(remaining(&limiter, "alice").await, 3, "{algorithm:?}");
        assert_eq!(remaining(&limiter, "alice").await, 3, "{algorithm:?}: twice");
        // Others see it as well.
        let other = counting(store, algorithm).await;
        assert_eq!(remaining(&other, "alice").await, 3, "{algorithm:?}: elsewhere");
    }
}

#[tokio::test]
async fn servers_may_divide_the_limit_among_them() {
    let store = SwitchableStore::default();
    let policy = Policy::new("allow", Quota::per_hour(10).unwrap()).unwrap();
    let builder = Limiter::builder().store(store.clone()).policy(policy);
    let limiter = builder.local_share(4.try_into().unwrap()).build().await.unwrap();
    store.off.store(true, Ordering::Relaxed);
    let mut admitted = 0;
    for _ in 0..20 {
        let verdict = ask(&limiter, "allow", "alice").await.unwrap();
        admitted += u64::from(verdict == Verdict::Allowed);
    }
    assert_eq!(admitted, 2);
    store.off.store(false, Ordering::Relaxed);
    until_healthy(&limiter, Duration::from_secs(5)).await;
    assert_eq!(remaining(&limiter, "alice").await, 8);
}

#[tokio::test]
async fn what_may_have_been_charged_is_not_charged_again() {
    let store = SwitchableStore::default();
    let limiter = counting(store.clone(), Algorithm::FixedWindow).await;
    store.off.store(true, Ordering::Relaxed);
    ask(&limiter, "allow", "alice").await.unwrap();
    ask(&limiter, "allow", "alice").await.unwrap();
    store.off.store(false, Ordering::Relaxed);
    assert_eq!(ask(&limiter, "allow", "prober").await.unwrap(), Verdict::Allowed);
    // It charges the two, and this one; but nobody hears of it.
    store.mute.store(true, Ordering::Relaxed);
    ask(&limiter, "allow", "alice").await.unwrap();
    store.mute.store(false, Ordering::Relaxed);
    assert_eq!(ask(&limiter, "allow", "prober").await.unwrap(), Verdict::Allowed);
    // Three units are there. Memory has admitted the third as well, and does not
    // charge what may be charged already.
    for _ in 0..3 {
        assert_eq!(remaining(&limiter, "alice").await, 7);
    }
}

#[tokio::test]
async fn what_has_certainly_not_been_charged_is_charged_later() {
    for algorithm in Algorithm::ALL.iter().copied() {
        let store = SwitchableStore::default();
        let limiter = counting(store.clone(), algorithm).await;
        ask(&limiter, "allow", "alice").await.unwrap();
        for _ in 0..3 {
            store.off.store(true, Ordering::Relaxed);
            // The second time it brings what the first one has left.
            ask(&limiter, "allow", "alice").await.unwrap();
            ask(&limiter, "allow", "alice").await.unwrap();
            store.off.store(false, Ordering::Relaxed);
            assert_eq!(ask(&limiter, "allow", "prober").await.unwrap(), Verdict::Allowed);
        }
        assert_eq!(remaining(&limiter, "alice").await, 3, "{algorithm:?}");
        assert_eq!(remaining(&limiter, "alice").await, 3, "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_ban_that_was_brought_meanwhile_holds_in_the_store() {
    for by_status in [false, true] {
        let store = SwitchableStore::default();
        let limiter = counting(store.clone(), Algorithm::Gcra).await;
        store.off.store(true, Ordering::Relaxed);
        let policy = limiter.policy("allow").unwrap();
        if by_status {
            for _ in 0..3 {
                let options = AdmitOptions::default().with_key(Some(Key::user("mallory")));
                let admission = policy.admit(&from("192.0.2.1"), options).await.unwrap();
                admission.permit().unwrap().record_response(401).await;
            }
        } else {
            while ask(&limiter, "allow", "mallory").await.unwrap() != Verdict::Banned {}
        }
        store.off.store(false, Ordering::Relaxed);
        until_healthy(&limiter, Duration::from_secs(5)).await;
        assert_eq!(ask(&limiter, "allow", "mallory").await.unwrap(), Verdict::Banned);
        let other = counting(store.clone(), Algorithm::Gcra).await;
        assert_eq!(ask(&other, "allow", "mallory").await.unwrap(), Verdict::Banned);
        // Lifted by hand, it does not come back with an old debt.
        limiter.forgive("allow", &Key::user("mallory")).await.unwrap();
        limiter.reset("allow", &Key::user("mallory")).await.unwrap();
        assert_eq!(ask(&limiter, "allow", "mallory").await.unwrap(), Verdict::Allowed);
    }
}

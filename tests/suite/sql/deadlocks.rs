//! Requests of several clients each, in any order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use limiter_core::{Algorithm, Check, Key, Policy, Quota, RemoteStore, Store, Subject};

use crate::{
    conformance::clock,
    databases::{clocked_store, mysql_url, postgres_url, sqlite_url, store, unique},
    remote::{admits, subject},
};

/// Returns so many clients, and a count for each.
fn clients(count: usize) -> (Arc<[Subject]>, Arc<Vec<AtomicU64>>) {
    let subjects = (0..count).flat_map(|user| subject(Key::user(&user.to_string()))).collect();
    (subjects, Arc::new((0..count).map(|_| AtomicU64::new(0)).collect()))
}

/// Returns the number that follows in a walk that looks random.
const fn next(number: usize) -> usize {
    (number * 1_103_515_245 + 12_345) % (1 << 31)
}

/// 64 tasks, each request of two of a hundred clients, in any order.
async fn cross(url: &str) {
    const CLIENTS: usize = 100;
    let prefix = unique("crossing");
    let stores: Vec<RemoteStore> = [store(url, &prefix).await, store(url, &prefix).await].to_vec();
    let policies: Arc<[Policy]> = ["one", "other"]
        .map(|name| {
            let quota = Quota::new(1_000_000, Duration::from_secs(3_600)).unwrap();
            Policy::new(name, quota.with_algorithm(Algorithm::FixedWindow).unwrap()).unwrap()
        })
        .into();
    let (subjects, admitted) = clients(CLIENTS);
    let end = Instant::now() + Duration::from_secs(30);
    let tasks: Vec<_> = (0..64_usize)
        .map(|task| {
            let (policies, subjects) = (Arc::clone(&policies), Arc::clone(&subjects));
            let (admitted, store) = (Arc::clone(&admitted), stores[task % 2].clone());
            tokio::spawn(async move {
                let mut number = task;
                while Instant::now() < end {
                    number = next(number);
                    let (one, other) = (number % CLIENTS, number / CLIENTS % CLIENTS);
                    let pair = [subjects[one].clone(), subjects[other].clone()];
                    assert!(admits(&store, &policies, &pair).await);
                    admitted[one].fetch_add(1, Ordering::Relaxed);
                    admitted[other].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no deadlock surfaces");
    }
    for (subject, admitted) in subjects.iter().zip(&*admitted) {
        let both = [subject.clone(), subject.clone()];
        let left = stores[0].decide(Check::new(&policies, &both, 0)).await.unwrap();
        let used: u64 = left.quotas().iter().map(|quota| 1_000_000 - quota.remaining()).sum();
        let admitted = admitted.load(Ordering::Relaxed);
        assert!(admitted > 0, "the test is too short");
        assert_eq!(used, admitted, "nothing is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_clients_never_meet_a_deadlock_in_postgres() {
    cross(postgres_url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_clients_never_meet_a_deadlock_in_mariadb() {
    cross(mysql_url()).await;
}

/// 64 tasks by two servers, each check of one policy, at a cost of 1 to 3, which the fast
/// path charges, or of that policy beside another, which the general form does. The clock
/// stands still, so that nothing is used less.
async fn mix(url: &str) {
    const CLIENTS: usize = 40;
    const LIMIT: u64 = 2_000;
    let (prefix, clock) = (unique("mixing"), clock());
    let mut stores = Vec::new();
    for _ in 0..2 {
        stores.push(clocked_store(url, &prefix, clock.clone()).await);
    }
    let quota = |limit| Quota::new(limit, Duration::from_secs(3_600)).unwrap();
    let policies: Arc<[Policy]> =
        [Policy::new("api", quota(LIMIT)).unwrap(), Policy::new("all", quota(1_000_000)).unwrap()]
            .into();
    let (subjects, admitted) = clients(CLIENTS);
    let tasks: Vec<_> = (0..64_usize)
        .map(|task| {
            let (policies, subjects) = (Arc::clone(&policies), Arc::clone(&subjects));
            let (admitted, store) = (Arc::clone(&admitted), stores[task % 2].clone());
            tokio::spawn(async move {
                let mut number = task;
                for _ in 0..1_500 {
                    number = next(number);
                    let (client, kind) = (number % CLIENTS, number / CLIENTS % 8);
                    let both = [subjects[client].clone(), subjects[client].clone()];
                    let cost = 1 + kind as u64 % 3;
                    let check = match kind {
                        0..6 => Check::new(&policies[..1], &both[..1], cost),
                        _ => Check::new(&policies, &both, cost),
                    };
                    if store.decide(check).await.expect("no deadlock surfaces").is_allowed() {
                        admitted[client].fetch_add(cost, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for (subject, admitted) in subjects.iter().zip(&*admitted) {
        let look = Check::new(&policies[..1], std::slice::from_ref(subject), 0);
        let used = LIMIT - stores[0].decide(look).await.unwrap().quotas()[0].remaining();
        assert_eq!(used, admitted.load(Ordering::Relaxed), "nothing is lost");
        assert!(used > LIMIT - 3, "all is asked for: {used}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_forms_of_postgres_count_together() {
    mix(postgres_url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_forms_of_mariadb_count_together() {
    mix(mysql_url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_forms_of_sqlite_count_together() {
    mix(sqlite_url()).await;
}

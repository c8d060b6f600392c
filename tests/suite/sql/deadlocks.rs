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
    databases::{mysql_url, postgres_url, store, unique},
    remote::{admits, subject},
};

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
    let subjects: Arc<[Subject]> =
        (0..CLIENTS).flat_map(|user| subject(Key::user(&user.to_string()))).collect();
    let admitted: Arc<Vec<AtomicU64>> = Arc::new((0..CLIENTS).map(|_| AtomicU64::new(0)).collect());
    let end = Instant::now() + Duration::from_secs(30);
    let tasks: Vec<_> = (0..64_usize)
        .map(|task| {
            let (policies, subjects) = (Arc::clone(&policies), Arc::clone(&subjects));
            let (admitted, store) = (Arc::clone(&admitted), stores[task % 2].clone());
            tokio::spawn(async move {
                let mut number = task;
                while Instant::now() < end {
                    number = (number * 1_103_515_245 + 12_345) % (1 << 31);
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

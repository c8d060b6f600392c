//! Servers that close all connections while several runtimes ask.

use std::{thread, time::Duration};

use limiter_core::{Check, Key, Policy, RemoteStore, Store};
use redis::Connection;
use tokio::task::JoinSet;

use super::{
    super::{at, connection, connections::close_and_wait, ports},
    runtime,
};
use crate::{
    databases::{store, unique},
    remote::{policy, subject},
    servers::{start_cluster, start_redis},
};

#[test]
fn connections_of_runtimes_are_closed() {
    let url = start_redis();
    closed_under_load(&url, || vec![connection(&url)]);
}

#[test]
fn connections_of_runtimes_are_closed_on_a_cluster() {
    let url = start_cluster();
    closed_under_load(&url, || ports(&url).into_iter().map(at).collect());
}

/// The limit is kept while the servers close all connections again and again: several runtimes
/// ask, for a few clients. A check that was under way may fail, charged or not.
fn closed_under_load(url: &str, servers: impl Fn() -> Vec<Connection>) {
    let (limit, checks) = (2_000, 3_000);
    let store = runtime().block_on(store(url, &unique("closed")));
    let policies = [policy(&format!("{limit}/day burst {limit}"))];
    let clients = ["alice", "bob", "carol", "dave"];
    let outcomes: Vec<Outcomes> = thread::scope(|scope| {
        let ask = || runtime().block_on(ask(&store, &policies, &clients, checks));
        let runtimes: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        while runtimes.iter().any(|runtime| !runtime.is_finished()) {
            close_and_wait(servers());
            thread::sleep(Duration::from_millis(20));
        }
        runtimes.into_iter().map(|runtime| runtime.join().unwrap()).collect()
    });
    let sum = |count: fn(&Outcomes) -> usize| outcomes.iter().map(count).sum::<usize>();
    let (admitted, failed) = (sum(|outcomes| outcomes.admitted), sum(|outcomes| outcomes.failed));
    // What a bucket drains meanwhile is less than one for each client.
    let expected = clients.len() * limit..=clients.len() * (limit + 1);
    assert!(admitted <= *expected.end(), "{admitted}");
    assert!(expected.contains(&(admitted + failed).min(*expected.end())), "{admitted} {failed}");
    assert!(2 * admitted > *expected.end(), "{admitted} {failed}");
}

/// How many checks were admitted, and how many got no answer.
#[derive(Default)]
struct Outcomes {
    admitted: usize,
    failed: usize,
}

/// Sends so many checks of each client, one after the other.
async fn ask(
    store: &RemoteStore,
    policies: &[Policy],
    clients: &[&str],
    checks: usize,
) -> Outcomes {
    let mut tasks = JoinSet::new();
    for client in clients {
        let (store, policies) = (store.clone(), policies.to_vec());
        let who = subject(Key::user(client));
        tasks.spawn(async move {
            let mut outcomes = Outcomes::default();
            for _ in 0..checks {
                match store.decide(Check::new(&policies, &who, 1)).await {
                    Ok(decision) => outcomes.admitted += usize::from(decision.is_allowed()),
                    Err(_) => {
                        outcomes.failed += 1;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            outcomes
        });
    }
    let all = tasks.join_all().await.into_iter();
    all.fold(Outcomes::default(), |sum, client| Outcomes {
        admitted: sum.admitted + client.admitted,
        failed: sum.failed + client.failed,
    })
}

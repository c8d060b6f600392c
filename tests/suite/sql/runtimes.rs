//! Runtimes that ask often have connections of their own: in calm their requests take them,
//! for what PostgreSQL decides in one statement and MariaDB in one script, and otherwise those
//! of the store's thread.

use std::{slice::from_ref, thread, time::Duration};

use limiter_core::{Check, Item, Key, Policy, RemoteStore, Store};
use tokio::{
    runtime,
    task::{JoinSet, yield_now},
    time::timeout,
};

use super::number;
use crate::{
    databases::{builder, mysql_url, postgres_url, unique},
    remote::{admits, banning, policy, subject},
    servers::{start_mariadb, start_postgres},
};

/// Requests after which a runtime has its connection, and some more.
const OFTEN: u32 = 100;

fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Checks so often that the runtime gets its connection, and waits until that is there.
async fn warm_up(store: &RemoteStore) {
    for _ in 0..OFTEN {
        assert!(admits(store, &[policy("1000000/hour")], &subject(Key::user("warm-up"))).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// How many sessions the server has, but for the one that asks.
async fn sessions(url: &str) -> i64 {
    let sql = match url.starts_with("postgres") {
        true => {
            "SELECT count(*) FROM pg_stat_activity \
             WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        }
        false => {
            "SELECT COUNT(*) FROM information_schema.processlist \
             WHERE user = 'limiter' AND id <> CONNECTION_ID()"
        }
    };
    number(url, sql).await
}

/// Checks of so many users at once, each so often. Returns how many were admitted.
async fn admitted(store: &RemoteStore, policy: &Policy, users: u32, times: u32) -> usize {
    let mut tasks = JoinSet::new();
    for check in 0..users * times {
        let (store, policy) = (store.clone(), policy.clone());
        let who = subject(Key::user(&format!("user-{}", check % users)));
        tasks.spawn(async move { admits(&store, &[policy], &who).await });
    }
    tasks.join_all().await.into_iter().filter(|is_admitted| *is_admitted).count()
}

/// A store that runtimes have warmed up, and how many sessions that took.
struct Warm {
    store: RemoteStore,
    runtimes: Vec<runtime::Runtime>,
    before: i64,
    after: i64,
}

impl Warm {
    fn new(url: &str, pool_size: usize) -> Self {
        let store = builder(url, &unique("pool")).pool_size(pool_size);
        let store = runtime().block_on(store.connect()).unwrap();
        let runtimes: Vec<_> = (0..5).map(|_| runtime()).collect();
        let before = runtime().block_on(sessions(url));
        for runtime in &runtimes {
            runtime.block_on(warm_up(&store));
        }
        Self { store, runtimes, before, after: runtime().block_on(sessions(url)) }
    }
}

/// Waits until the connections of a store that was dropped have ended.
fn wait_for_no_session(url: &str) {
    while runtime().block_on(sessions(url)) > 0 {
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_connections_of_runtimes_are_of_the_pool() {
    for url in [start_postgres(&[]).0, start_mariadb(&[])] {
        check_connections(&url);
    }
}

fn check_connections(url: &str) {
    for (pool_size, of_runtimes) in [(1, 0), (3, 0), (4, 2)] {
        let mut warm = Warm::new(url, pool_size);
        // The store's own thread may have opened another meanwhile, as its sweep works beside
        // checks: seldom, where runtimes with too many would have them each time.
        for _ in 0..2 {
            if warm.after > warm.before + of_runtimes {
                drop(warm);
                wait_for_no_session(url);
                warm = Warm::new(url, pool_size);
            }
        }
        let Warm { store, runtimes, before, after } = warm;
        assert!(after <= before + of_runtimes, "{before} {after} {pool_size}");
        assert!(of_runtimes == 0 || after > 1, "{before} {after} {pool_size}");
        for runtime in &runtimes {
            runtime.block_on(async {
                assert_eq!(admitted(&store, &policy("1000000/hour"), 50, 4).await, 200);
                // One that was closed, since the machine was slow, may end after its successor
                // has begun.
                let most = i64::try_from(pool_size).unwrap();
                let few = async { while sessions(url).await > most {} };
                assert!(timeout(Duration::from_secs(9), few).await.is_ok(), "{pool_size}");
            });
        }
        drop((store, runtimes));
        wait_for_no_session(url);
    }
}

#[test]
fn a_runtime_that_ends_leaves_its_connection_to_others() {
    for url in [start_postgres(&[]).0, start_mariadb(&[])] {
        end_runtimes(&url);
    }
}

fn end_runtimes(url: &str) {
    let store = runtime().block_on(builder(url, &unique("ends")).connect()).unwrap();
    for _ in 0..20 {
        runtime().block_on(warm_up(&store));
        assert!(runtime().block_on(sessions(url)) <= 2);
    }
    // Without I/O there is none.
    runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        warm_up(&store).await;
        warm_up(&store).await;
    });
    let runtime = runtime();
    runtime.block_on(warm_up(&store));
    assert_eq!(runtime.block_on(sessions(url)), 2);
}

/// Beyond the timeout, many times.
#[test]
fn an_answer_is_read_by_a_runtime_that_was_busy() {
    for url in [start_postgres(&[]).0, start_mariadb(&[])] {
        read_late(&url);
    }
}

fn read_late(url: &str) {
    let (policies, alice) = ([policy("9/hour")], subject(Key::user("alice")));
    runtime().block_on(async {
        let store = builder(url, &unique("answer")).timeout(Duration::from_millis(300));
        let store = store.connect().await.unwrap();
        warm_up(&store).await;
        for remaining in (5..9).rev() {
            let busy = async {
                yield_now().await;
                thread::sleep(Duration::from_secs(1));
            };
            let check = Check::new(&policies, &alice, 1);
            let (decision, ()) = tokio::join!(store.decide(check), busy);
            assert_eq!(decision.unwrap().quotas()[0].remaining(), remaining);
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        let failed = store.health().into_iter().flatten().map(|server| server.calls.failed);
        assert_eq!(failed.sum::<u64>(), 0, "the server was not late");
    });
}

/// Refusals, strikes and bans are not of the fast path.
#[test]
fn many_new_keys_are_decided_exactly() {
    for url in [postgres_url(), mysql_url()] {
        decide_new_keys(url);
    }
}

fn decide_new_keys(url: &str) {
    runtime().block_on(async {
        let store = builder(url, &unique("new")).pool_size(4).connect().await.unwrap();
        warm_up(&store).await;
        let policy = banning(2, []);
        for round in 0..10 {
            let policies = [Policy::new(&format!("round-{round}"), "2/hour").unwrap()];
            assert_eq!(admitted(&store, &policies[0], 100, 3).await, 200, "{round}");
        }
        for user in 0..300 {
            let who = subject(Key::user(&format!("banned-{user}")));
            for is_admitted in [true, true, false, false] {
                assert_eq!(admits(&store, from_ref(&policy), &who).await, is_admitted, "{user}");
            }
            // A counter that is new, beneath a ban.
            store.reset(Item { policy: &policy, subject: &who[0] }).await.unwrap();
            assert!(!admits(&store, from_ref(&policy), &who).await);
            let fresh = subject(Key::user(&format!("fresh-{user}")));
            assert!(admits(&store, from_ref(&policy), &fresh).await);
        }
    });
}

/// Two stores insert the same keys at the same time.
#[test]
fn a_key_that_is_new_to_two_servers_is_counted_once() {
    for url in [postgres_url(), mysql_url()] {
        count_new_keys(url);
    }
}

fn count_new_keys(url: &str) {
    let prefix = unique("two");
    let prefix = prefix.as_str();
    let policy = Policy::new("api", "3/hour").unwrap();
    let counts: Vec<usize> = thread::scope(|scope| {
        let serve = || {
            runtime().block_on(async {
                let store = builder(url, prefix).pool_size(4).connect().await.unwrap();
                warm_up(&store).await;
                admitted(&store, &policy, 400, 2).await
            })
        };
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(serve)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 3 * 400, "{counts:?}");
}

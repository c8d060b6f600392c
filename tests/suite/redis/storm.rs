//! The moment of attack: one client with thousands of checks at once, and honest
//! ones beside it; a master that dies beneath it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use limiter_core::{
    Error, Health, Key, Limiter, OnStoreError, Policy, Quota, RemoteStore, Verdict,
};
use redis::cmd;
use tokio::{sync::Mutex, time::sleep};

use super::{at, ports};
use crate::{
    databases::unique,
    servers::{start_cluster, start_redis},
};

const LIMIT: u64 = 20;

/// One at a time, and with time enough for a build that is not optimised on a busy
/// machine: it is not this machine that is tested.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
const TIMEOUT: Duration = Duration::from_secs(2);

async fn limiter(url: &str, way: OnStoreError, limit: u64, timeout: Duration) -> Limiter {
    let store = RemoteStore::builder(url).prefix(&unique("storm")).timeout(timeout);
    let store = store.connect().await.unwrap();
    let policy = Policy::new("api", Quota::per_hour(limit).unwrap()).unwrap();
    let limiter = Limiter::builder().store(store).policy(policy.with_on_store_error(way));
    limiter.build().await.unwrap()
}

async fn ask(limiter: &Limiter, user: &str) -> Result<Verdict, Error> {
    let policy = limiter.policy("api").unwrap();
    let subjects = policy.subjects_of(&Key::user(user));
    Ok(policy.check(&subjects, 1).await?.verdict())
}

/// Asks every 5 ms for one client after the other, until told to end. Returns how
/// long each had to wait.
async fn honest_clients(limiter: Limiter, name: &str, end: Arc<AtomicBool>) -> Vec<Duration> {
    let mut waits = Vec::new();
    while !end.load(Ordering::Relaxed) {
        let start = Instant::now();
        let verdict = ask(&limiter, &format!("{name}-{}", waits.len())).await;
        assert_eq!(verdict.unwrap(), Verdict::Allowed, "{:?}", limiter.health());
        assert_eq!(limiter.health(), Health::Healthy);
        waits.push(start.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
    waits
}

/// Of so many checks at once, wave upon wave, as many are admitted as fit, and
/// none by any stand-in; nobody else notices.
async fn storm(url: &str, checks: usize) {
    let _alone = ONE_AT_A_TIME.lock().await;
    for way in [OnStoreError::Local, OnStoreError::Allow, OnStoreError::Deny] {
        let limiter = limiter(url, way, LIMIT, TIMEOUT).await;
        let end = Arc::new(AtomicBool::new(false));
        let honest = tokio::spawn(honest_clients(limiter.clone(), "honest", Arc::clone(&end)));
        let mut admitted = 0;
        for _ in 0..4 {
            let tasks = (0..checks).map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move { ask(&limiter, "attacker").await })
            });
            for answer in join_all(tasks).await {
                match answer.unwrap() {
                    Ok(Verdict::Allowed) => admitted += 1,
                    Ok(_) | Err(Error::Overloaded { .. }) => {}
                    Err(error) => panic!("{way:?}: {error}"),
                }
            }
        }
        end.store(true, Ordering::Relaxed);
        let mut waits = honest.await.unwrap();
        waits.sort();
        let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
        println!("{checks} at once, {way:?}: {} honest, {median:?}, {longest:?}", waits.len());
        assert_eq!(admitted, LIMIT, "{way:?}");
    }
}

macro_rules! storms {
    ($($name:ident $start:ident $checks:literal)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                storm(&$start(), $checks).await;
            }
        )+
    };
}

storms! {
    a_storm_of_1200_on_one_server start_redis 1_200
    a_storm_of_3000_on_one_server start_redis 3_000
    a_storm_of_10000_on_one_server start_redis 10_000
    a_storm_of_3000_on_a_cluster start_cluster 3_000
    a_storm_of_10000_on_a_cluster start_cluster 10_000
}

/// A user whose slot is one of those.
fn user_in(master: u16, slots: std::ops::RangeInclusive<u16>) -> String {
    let mut master = at(master);
    let mut slot = |user: &str| -> u16 {
        let mut command = cmd("CLUSTER");
        command.arg("KEYSLOT").arg(format!("x:{{user={user}}}:x"));
        command.query(&mut master).unwrap()
    };
    (0..).map(|n| format!("user{n}")).find(|user| slots.contains(&slot(user))).unwrap()
}

fn info(node: u16) -> String {
    cmd("CLUSTER").arg("INFO").query(&mut at(node)).unwrap_or_default()
}

/// A master dies that nobody takes over from, under load or while nobody asks, and
/// comes back empty: the clients of the others never notice, its own are served
/// within two seconds.
async fn master_dies(is_under_load: bool) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let url = start_cluster();
    let masters = ports(&url);
    for master in &masters {
        let set = |name: &str, value: &str| {
            let () = cmd("CONFIG").arg(&["SET", name, value]).query(&mut at(*master)).unwrap();
        };
        // A cluster of three without a majority problem: only its third is away.
        set("cluster-require-full-coverage", "no");
        set("cluster-node-timeout", "2000");
    }
    let limiter = limiter(&url, OnStoreError::Deny, 1_000_000, TIMEOUT).await;
    let (lost, other) = (user_in(masters[1], 10_923..=16_383), user_in(masters[1], 5_461..=10_922));
    for round in 0..3 {
        let end = Arc::new(AtomicBool::new(false));
        let load: Vec<_> = (0..if is_under_load { 64 } else { 0 })
            .map(|_| {
                let (limiter, lost, other) = (limiter.clone(), lost.clone(), other.clone());
                let end = Arc::clone(&end);
                tokio::spawn(async move {
                    let mut longest = Duration::ZERO;
                    while !end.load(Ordering::Relaxed) {
                        let _ = ask(&limiter, &lost).await;
                        let start = Instant::now();
                        ask(&limiter, &other).await.unwrap();
                        longest = longest.max(start.elapsed());
                        sleep(Duration::from_millis(1)).await;
                    }
                    longest
                })
            })
            .collect();
        sleep(Duration::from_millis(200)).await;
        let file: Vec<String> =
            cmd("CONFIG").arg(&["GET", "dir"]).query(&mut at(masters[2])).unwrap();
        let _ = cmd("SHUTDOWN").arg("NOSAVE").query::<()>(&mut at(masters[2]));
        sleep(Duration::from_millis(1_000)).await;
        assert!(ask(&limiter, &lost).await.is_err(), "round {round}");
        ask(&limiter, &other).await.unwrap();
        crate::servers::start_cluster_node_at(masters[2], &file[1]);
        // For its first two seconds a node serves nobody.
        while !info(masters[2]).contains("cluster_state:ok") {
            sleep(Duration::from_millis(5)).await;
        }
        let back = Instant::now();
        sleep(Duration::from_millis(if is_under_load { 0 } else { 1_900 })).await;
        let served = loop {
            if ask(&limiter, &lost).await.is_ok() {
                break back.elapsed();
            }
            assert!(back.elapsed() < Duration::from_secs(10), "{:?}", limiter.server_health());
            sleep(Duration::from_millis(10)).await;
        };
        end.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for task in load {
            longest = longest.max(task.await.unwrap());
        }
        println!("round {round}: served after {served:?}, others waited {longest:?}");
        assert!(served < Duration::from_secs(2), "round {round}: {served:?}");
        sleep(Duration::from_millis(1_500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_dies_under_load_and_is_back() {
    master_dies(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_dies_in_a_quiet_moment_and_is_back() {
    master_dies(false).await;
}

/// A full server is one outage, however often it is probed and asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_one_outage() {
    let url = start_redis();
    let limiter = limiter(&url, OnStoreError::Local, LIMIT, Duration::from_millis(100)).await;
    let mut server = at(ports(&url)[0]);
    let mut set = |bytes: &str| {
        let () = cmd("CONFIG").arg(&["SET", "maxmemory", bytes]).query(&mut server).unwrap();
    };
    set("1");
    let (start, mut changes, mut was) = (Instant::now(), 0, limiter.health());
    while start.elapsed() < Duration::from_secs(8) {
        for user in ["a", "b", "c"] {
            ask(&limiter, user).await.unwrap();
        }
        let health = limiter.health();
        changes += u32::from((was == Health::Healthy) != (health == Health::Healthy));
        was = health;
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(changes, 1, "{was:?}");
    assert!(matches!(&was, Health::Degraded { reason, .. } if reason.contains("OOM")), "{was:?}");
    set("0");
    let back = Instant::now();
    while limiter.health() != Health::Healthy {
        assert!(back.elapsed() < Duration::from_secs(3), "{:?}", limiter.health());
        sleep(Duration::from_millis(20)).await;
    }
}

//! A master of a Redis Cluster dies, under load or while nobody asks: the clients of the
//! others never notice, and its own are served soon after it is back, or its replica has
//! taken over.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use limiter_core::{Error, Key, Limiter, OnStoreError, Policy, Quota, RemoteStore, Verdict};
use redis::cmd;
use tokio::{runtime, task::JoinSet, time::sleep};

use super::{Form, alone, tasks::HealthWatch};
use crate::{
    databases::unique,
    redis::{at, ports},
    servers::{start_cluster, start_cluster_node_at},
};

/// How soon clients are served once their slots are.
const SOON: Duration = Duration::from_secs(2);

/// How much longer than the timeout a request may take, in the long form.
const SLACK: Duration = Duration::from_millis(20);

/// How long servers may take for what they do by themselves.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tasks that ask all the time.
const LOAD: usize = 64;

/// The slots of the first master, which has a replica, of the second, and of the third.
const SLOTS: [RangeInclusive<u16>; 3] = [0..=5_460, 5_461..=10_922, 10_923..=16_383];

fn rounds() -> u64 {
    if Form::from_environment() == Form::Long { 10 } else { 1 }
}

async fn limiter(url: &str) -> Limiter {
    let store = RemoteStore::builder(url).prefix(&unique("master"));
    let store = store.timeout(Form::from_environment().timeout()).connect().await.unwrap();
    let policy = Policy::new("api", Quota::per_hour(1_000_000).unwrap()).unwrap();
    let policy = policy.with_on_store_error(OnStoreError::Deny);
    Limiter::builder().store(store).policy(policy).build().await.unwrap()
}

async fn ask(limiter: &Limiter, user: &str) -> Result<Verdict, Error> {
    let policy = limiter.policy("api").unwrap();
    let subjects = policy.subjects_of(&Key::user(user));
    Ok(policy.check(&subjects, 1).await?.verdict())
}

/// A user whose slot is one of those.
fn user_in(node: u16, slots: &RangeInclusive<u16>) -> String {
    let mut node = at(node);
    let mut slot = |user: &str| -> u16 {
        let mut command = cmd("CLUSTER");
        command.arg("KEYSLOT").arg(format!("x:{{user={user}}}:x"));
        command.query(&mut node).unwrap()
    };
    (0..).map(|n| format!("user{n}")).find(|user| slots.contains(&slot(user))).unwrap()
}

/// The ports of a cluster that goes on without one of its masters.
fn nodes(url: &str) -> Vec<u16> {
    let known: String = cmd("CLUSTER").arg("NODES").query(&mut at(ports(url)[0])).unwrap();
    let port = |line: &str| {
        let address = line.split(' ').nth(1)?.split('@').next()?;
        address.rsplit_once(':')?.1.parse().ok()
    };
    let nodes: Vec<u16> = known.lines().filter_map(port).collect();
    for node in &nodes {
        for setting in [["cluster-require-full-coverage", "no"], ["cluster-node-timeout", "1500"]] {
            let () = cmd("CONFIG").arg("SET").arg(&setting).query(&mut at(*node)).unwrap();
        }
    }
    nodes
}

/// Returns the information of a node about itself.
fn info(node: u16, command: [&str; 2]) -> String {
    cmd(command[0]).arg(command[1]).query(&mut at(node)).unwrap_or_default()
}

async fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "the servers do not come together");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Kills a node, and returns its folder, in which it finds what it is.
fn kill(node: u16) -> String {
    let folder: Vec<String> = cmd("CONFIG").arg(&["GET", "dir"]).query(&mut at(node)).unwrap();
    let _ = cmd("SHUTDOWN").arg(&["NOSAVE", "NOW"]).query::<()>(&mut at(node));
    folder[1].clone()
}

/// Tasks that ask for a client of the dead master and for one of another.
struct Load {
    end: Arc<AtomicBool>,
    tasks: JoinSet<[Duration; 2]>,
}

impl Load {
    fn start(limiter: &Limiter, lost: &str, other: &str, tasks: usize) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let task = |_| {
            let (limiter, end) = (limiter.clone(), Arc::clone(&end));
            let (lost, other) = (lost.to_owned(), other.to_owned());
            async move {
                let mut longest = [Duration::ZERO; 2];
                while !end.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let _ = ask(&limiter, &lost).await;
                    longest[0] = longest[0].max(start.elapsed());
                    let start = Instant::now();
                    ask(&limiter, &other).await.expect("another master's client notices");
                    longest[1] = longest[1].max(start.elapsed());
                    sleep(Duration::from_millis(1)).await;
                }
                longest
            }
        };
        let tasks = (0..tasks).map(task).collect();
        Self { end, tasks }
    }

    /// Returns the longest time that a client of either had to wait.
    async fn stop(self) -> [Duration; 2] {
        self.end.store(true, Ordering::Relaxed);
        let longest = self.tasks.join_all().await;
        [0, 1].map(|of| longest.iter().map(|waits| waits[of]).max().unwrap_or_default())
    }
}

/// One master dies, and its slots are served again after what `comes_back` does.
async fn round(
    limiter: &Limiter,
    [lost, other]: [&str; 2],
    load: usize,
    dead: u16,
    comes_back: impl AsyncFnOnce(String),
) {
    let watch = HealthWatch::start(limiter);
    let load = Load::start(limiter, lost, other, load);
    sleep(Duration::from_millis(200)).await;
    let folder = kill(dead);
    sleep(Duration::from_millis(1_000)).await;
    ask(limiter, other).await.expect("another master's client notices");
    comes_back(folder).await;
    let back = Instant::now();
    if load.tasks.is_empty() {
        // Nobody asks: the first who does is served.
        sleep(SOON - Duration::from_millis(100)).await;
    }
    while ask(limiter, lost).await.is_err() {
        assert!(back.elapsed() < PATIENCE, "{:?}", limiter.server_health());
        sleep(Duration::from_millis(5)).await;
    }
    let served = back.elapsed();
    let [lost, other] = load.stop().await;
    sleep(Duration::from_millis(1_200)).await;
    let changes = watch.stop();
    println!("served after {served:?}; longest {lost:?}, others {other:?}; {changes} changes");
    assert!(served < SOON, "served after {served:?}");
    assert!(changes <= 2, "{changes} changes of health");
    let form = Form::from_environment();
    assert!(form == Form::Short || lost.max(other) < form.timeout() + SLACK, "{lost:?}, {other:?}");
}

/// Nobody takes over from it, and it comes back empty.
async fn dies_and_is_back(load: usize) {
    let url = start_cluster();
    let (nodes, dead) = (nodes(&url), ports(&url)[2]);
    let users = [2, 1].map(|range: usize| user_in(nodes[0], &SLOTS[range]));
    let limiter = limiter(&url).await;
    for _ in 0..rounds() {
        let comes_back = async |folder: String| {
            start_cluster_node_at(dead, &folder);
            // For its first two seconds a node serves nobody.
            until(|| info(dead, ["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
        };
        round(&limiter, [&users[0], &users[1]], load, dead, comes_back).await;
    }
}

/// Its replica takes over, and it comes back as the replica of that one.
async fn dies_and_fails_over(load: usize) {
    let url = start_cluster();
    let nodes = nodes(&url);
    let users = [0, 1].map(|range: usize| user_in(nodes[0], &SLOTS[range]));
    let mut dead = ports(&url)[0];
    let replica = nodes.iter().copied().find(|node| !ports(&url).contains(node));
    let mut replica = replica.expect("the first master has a replica");
    let limiter = limiter(&url).await;
    // A replica that was never in step with its master takes nothing over.
    let is_in_step = |node| info(node, ["INFO", "replication"]).contains("master_link_status:up");
    until(|| is_in_step(replica)).await;
    for _ in 0..rounds() {
        let mut folder = String::new();
        let comes_back = async |dir: String| {
            folder = dir;
            until(|| info(replica, ["INFO", "replication"]).contains("role:master")).await;
        };
        round(&limiter, [&users[0], &users[1]], load, dead, comes_back).await;
        start_cluster_node_at(dead, &folder);
        until(|| is_in_step(dead)).await;
        (dead, replica) = (replica, dead);
    }
}

macro_rules! deaths {
    ($($name:ident $case:ident $load:expr)+) => {
        $(
            #[test]
            fn $name() {
                let _storm = alone();
                let runtime = runtime::Builder::new_multi_thread().enable_all().build().unwrap();
                runtime.block_on($case($load));
            }
        )+
    };
}

deaths! {
    a_master_dies_under_load_and_is_back dies_and_is_back LOAD
    a_master_dies_in_a_quiet_moment_and_is_back dies_and_is_back 0
    a_master_dies_under_load_and_fails_over dies_and_fails_over LOAD
    a_master_dies_in_a_quiet_moment_and_fails_over dies_and_fails_over 0
}

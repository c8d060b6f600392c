//! Faults of Redis itself.

use std::time::{Duration, Instant};

use redis::{Client, Connection, FromRedisValue, cmd};

use super::{Drill, tcp_proxy::authority};
use crate::servers::{start_cluster, start_redis, start_redis_at, start_sentinel};

const SOON: Duration = Duration::from_secs(5);

fn at(authority: &str) -> Connection {
    let client = Client::open(format!("redis://{authority}/")).unwrap();
    client.get_connection_with_timeout(Duration::from_secs(5)).unwrap()
}

fn tell<T: FromRedisValue>(authority: &str, words: &[&str]) -> redis::RedisResult<T> {
    cmd(words[0]).arg(&words[1..]).query(&mut at(authority))
}

/// A server that is told so does not answer that it stops.
fn stop(authority: &str) {
    let _ = tell::<()>(authority, &["SHUTDOWN", "NOSAVE"]);
}

fn port(authority: &str) -> u16 {
    authority.rsplit(':').next().unwrap().parse().unwrap()
}

/// Its memory is gone with it: what was used is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_restarted() {
    let url = start_redis();
    let server = authority(&url).to_owned();
    let drill = Drill::start(&url, "alice").await;
    let restart = async || start_redis_at(port(&server));
    let report = drill.run(async || stop(&server), restart, SOON).await;
    report.check("the server is restarted", "redis");
}

/// State that is deleted by command is gone; nothing else changes.
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_flushed() {
    let url = start_redis();
    for (fault, words) in [("SCRIPT FLUSH", &["SCRIPT", "FLUSH"][..]), ("FLUSHALL", &["FLUSHALL"])]
    {
        let drill = Drill::start(&url, "alice").await;
        let flush = async || tell::<()>(authority(&url), words).unwrap();
        let report = drill.run(flush, async || {}, SOON).await;
        report.check(fault, "redis");
        assert_eq!(report.during.iter().map(|seen| seen.unavailable).sum::<u32>(), 0);
        if fault == "SCRIPT FLUSH" {
            report.check_deny_is_exact(fault);
        }
    }
}

/// It may be read and not written to: the breaker stays open until it may.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_becomes_a_read_only_replica() {
    let url = start_redis();
    let drill = Drill::start(&url, "alice").await;
    let follow = async || tell::<()>(authority(&url), &["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let lead = async || tell::<()>(authority(&url), &["REPLICAOF", "NO", "ONE"]).unwrap();
    let report = drill.run(follow, lead, SOON).await;
    report.check("the server becomes a read-only replica", "redis");
    report.check_deny_is_exact("read-only");
    assert!(report.during[2].unavailable > 0, "nothing happened");
}

/// The master dies; Sentinel makes its replica the master.
#[tokio::test(flavor = "multi_thread")]
async fn sentinel_fails_over() {
    let url = start_sentinel();
    let sentinel = authority(&url).to_owned();
    let master = || -> Vec<String> {
        tell(&sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "limits"]).unwrap()
    };
    let before = master();
    let drill = Drill::start(&url, "alice").await;
    let kill = async || stop(&before.join(":"));
    let wait = async || {
        let start = Instant::now();
        while master() == before {
            assert!(start.elapsed() < Duration::from_secs(60), "there is no failover");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let report = drill.run(kill, wait, Duration::from_secs(10)).await;
    report.check("Sentinel fails over", "redis");
    assert!(report.during[2].unavailable > 0, "nothing happened");
}

/// One of three masters dies; its replica takes over.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_dies() {
    let url = start_cluster();
    let nodes: Vec<&str> = authority(&url).split(',').collect();
    for node in &nodes {
        let () = tell(node, &["CONFIG", "SET", "cluster-node-timeout", "1000"]).unwrap();
    }
    // A client whose state is all on the dying master.
    let slot = |user: &str| -> u16 {
        tell(nodes[0], &["CLUSTER", "KEYSLOT", &format!("x:{{user={user}}}:x")]).unwrap()
    };
    let user = (0..).map(|n| format!("user{n}")).find(|user| slot(user) <= 5_460).unwrap();
    let drill = Drill::start(&url, &user).await;
    let wait = async || {
        let start = Instant::now();
        while !tell::<String>(nodes[1], &["CLUSTER", "INFO"]).unwrap().contains("state:ok") {
            assert!(start.elapsed() < Duration::from_secs(60), "no replica takes over");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let report = drill.run(async || stop(nodes[0]), wait, Duration::from_secs(15)).await;
    report.check("a master of a cluster dies", "redis-cluster");
    assert!(report.during[2].unavailable > 0, "nothing happened");
}

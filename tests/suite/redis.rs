//! Tests of Redis alone: commands, times to live, names, slots, masters.

mod batching;
mod compare_and_set;
mod connections;
mod runtimes;
mod start;
mod unix_socket;

use std::time::{Duration, Instant};

use limiter_core::{Check, Key, Store, Subject};
use redis::{Client, Commands, Connection, cmd};

use crate::{
    databases::{store, unique},
    remote::{admits, policy, subject},
    servers::{start_cluster, start_redis, start_sentinel},
};

fn connection(url: &str) -> Connection {
    Client::open(url).unwrap().get_connection().unwrap()
}

/// How often clients have called a command; what scripts call is counted apart
/// by its own name.
fn calls(connection: &mut Connection, command: &str) -> u64 {
    let stats: String = cmd("INFO").arg("commandstats").query(connection).unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")));
    let calls = line.and_then(|line| line.strip_prefix("calls=")?.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn a_check_is_one_command_and_scripts_may_be_flushed() {
    let url = start_redis();
    let store = store(&url, "one").await;
    let policies = [policy("50/hour; 9/second; 1000/day")];
    let client = subject(Key::user("alice"));
    let mut connection = connection(&url);
    assert!(admits(&store, &policies, &client).await);
    let before = calls(&mut connection, "evalsha");
    let loads = calls(&mut connection, "eval");
    for _ in 0..100 {
        admits(&store, &policies, &client).await;
    }
    assert_eq!(calls(&mut connection, "evalsha") - before, 100);
    // The start has brought the script.
    assert_eq!(calls(&mut connection, "eval"), loads);
    // The scripts are gone, as after a restart or a failover: they are loaded again, unseen.
    let () = cmd("SCRIPT").arg("FLUSH").query(&mut connection).unwrap();
    let _ = store.decide(Check::new(&policies, &client, 1)).await.unwrap();
    assert_eq!(calls(&mut connection, "eval"), loads + 1);
}

#[tokio::test]
async fn all_state_has_a_time_to_live_and_recovers_one() {
    let url = start_redis();
    let store = store(&url, "ttl").await;
    let policies = [policy("2/hour; 9/second")];
    for user in ["a", "b", "c"] {
        admits(&store, &policies, &subject(Key::user(user))).await;
    }
    let mut connection = connection(&url);
    let keys: Vec<String> = connection.keys("*").unwrap();
    assert_eq!(keys.len(), 3, "{keys:?}");
    // Somebody has taken the time to live away, or written something else.
    let () = connection.persist(&keys[0]).unwrap();
    let () = connection.set(&keys[1], "nonsense").unwrap();
    for user in ["a", "b", "c"] {
        assert!(admits(&store, &policies, &subject(Key::user(user))).await);
    }
    for key in keys {
        let milliseconds: i64 = connection.pttl(&key).unwrap();
        // An hour, twice the time that state is kept beyond its use, and a second.
        assert!((1..=3_721_000).contains(&milliseconds), "{key}: {milliseconds}");
    }
}

#[tokio::test]
async fn names_are_readable_or_digested() {
    let url = start_redis();
    let store = store(&url, "names").await;
    let policies = [policy("2/hour")];
    let keys = [
        Key::ip("192.0.2.1".parse().unwrap()),
        Key::user("alice").and(Key::endpoint("GET", "/x")),
        Key::user("alice@example.org"),
        Key::header("x-api-key", b"s3cret-key"),
        Key::custom("tenant", "}evil{"),
    ];
    for key in keys {
        assert!(admits(&store, &policies, &subject(key)).await);
    }
    let mut names: Vec<String> = connection(&url).keys("*").unwrap();
    names.sort();
    let shown = names.join("\n");
    assert_eq!(names.len(), 5, "{shown}");
    assert!(shown.contains("names:{ip=192.0.2.1}:c"), "{shown}");
    assert!(shown.contains("names:{user=alice&endpoint=GET:/x}:c"), "{shown}");
    for secret in ["example", "s3cret", "evil"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

pub(crate) fn at(port: u16) -> Connection {
    connection(&format!("redis://127.0.0.1:{port}/"))
}

/// The ports in an URL of several hosts.
pub(crate) fn ports(url: &str) -> Vec<u16> {
    let hosts = url.split("://").nth(1).unwrap().split('/').next().unwrap();
    hosts.split(',').map(|host| host.rsplit(':').next().unwrap().parse().unwrap()).collect()
}

/// A slot moves from one master to another while requests go on.
#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let url = start_cluster();
    let store = store(&url, "moving").await;
    let (policies, client) = ([policy("3/hour")], subject(Key::user("alice")));
    let masters = ports(&url);
    let slot: u16 = cmd("CLUSTER")
        .arg("KEYSLOT")
        .arg("moving:{user=alice}:x")
        .query(&mut at(masters[0]))
        .unwrap();
    let from = usize::from(slot) / 5_461;
    let to = (from + 1) % 3;
    let id = |index: usize| -> String {
        cmd("CLUSTER").arg("MYID").query(&mut at(masters[index])).unwrap()
    };
    let set = |index: usize, what: &str, whom: &str| {
        let mut command = cmd("CLUSTER");
        command.arg("SETSLOT").arg(slot).arg(what).arg(whom);
        let () = command.query(&mut at(masters[index])).unwrap();
    };
    set(to, "IMPORTING", &id(from));
    set(from, "MIGRATING", &id(to));
    // Not there yet: asked for at the other one (ASK).
    assert!(admits(&store, &policies, &client).await);
    assert_eq!(at(masters[to]).keys::<_, Vec<String>>("moving:*").unwrap().len(), 1);
    for master in [to, from] {
        set(master, "NODE", &id(to));
    }
    // It is at home there now (MOVED).
    assert!(admits(&store, &policies, &client).await);
    assert!(admits(&store, &policies, &client).await);
    assert!(!admits(&store, &policies, &client).await);
}

/// Sentinel makes the replica the master; what was counted still counts.
#[tokio::test]
async fn a_failover_by_sentinel_is_followed() {
    let url = start_sentinel();
    let store = store(&url, &unique("failover")).await;
    let (policies, client) = ([policy("2/hour")], subject(Key::user("alice")));
    assert!(admits(&store, &policies, &client).await);
    assert!(admits(&store, &policies, &client).await);
    let mut sentinel = at(ports(&url)[0]);
    let master = |sentinel: &mut Connection| -> Vec<String> {
        cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg("limits").query(sentinel).unwrap()
    };
    let before = master(&mut sentinel);
    let deadline = Instant::now() + Duration::from_secs(60);
    while master(&mut sentinel) == before {
        // Refused until it has found the replica to be a good one.
        let _ = cmd("SENTINEL").arg("FAILOVER").arg("limits").query::<()>(&mut sentinel);
        assert!(Instant::now() < deadline, "there is no failover");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let answer = loop {
        match store.decide(Check::new(&policies, &client, 1)).await {
            Ok(decision) => break decision,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(!answer.is_allowed());
}

/// Policies of several clients on a cluster: in one decision, one after the
/// other.
#[tokio::test]
async fn what_a_cluster_charged_is_given_back() {
    let url = crate::databases::cluster_url();
    let store = store(url, &unique("apart")).await;
    let policies = [policy("9/hour"), policy("1/hour").with_ban(rule())];
    let both: Vec<Subject> = ["here", "there"].map(|user| subject(Key::user(user))).concat();
    assert!(admits(&store, &policies, &both).await);
    for _ in 0..5 {
        assert!(!admits(&store, &policies, &both).await);
    }
    let left = store.decide(Check::new(&policies[..1], &both[..1], 0)).await.unwrap();
    assert_eq!(left.quotas()[0].remaining(), 8);
}

fn rule() -> limiter_core::BanRule {
    let minute = Duration::from_secs(60);
    limiter_core::BanRule::after_strikes(3).within(minute).for_duration(minute).unwrap()
}

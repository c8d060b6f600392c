//! What only a Redis server shows: commands, times to live, names, processes.

use std::{
    env, fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use limiter_core::{Check, Key, Policy, Quotas, RedisStore, Store, Subject};
use limiter_tests::Server;
use redis::{Client, Commands, Connection, cmd};

use crate::servers::{redis_url, start_redis};

fn policy(quotas: &str) -> [Policy; 1] {
    [Policy::new("api", quotas.parse::<Quotas>().unwrap()).unwrap()]
}

async fn store(url: &str, prefix: &str) -> RedisStore {
    let builder = RedisStore::builder(url).prefix(prefix).key_secret("for tests");
    builder.deadline(Duration::from_secs(5)).connect().await.unwrap()
}

fn subject(key: Key) -> [Subject; 1] {
    [Subject { key, bannable: true }]
}

fn connection(url: &str) -> Connection {
    Client::open(url).unwrap().get_connection().unwrap()
}

async fn admits(store: &RedisStore, policies: &[Policy], subjects: &[Subject]) -> bool {
    store.decide(Check::new(policies, subjects, 1)).await.unwrap().is_allowed()
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
    let policies = policy("50/hour; 9/second; 1000/day");
    let client = subject(Key::user("alice"));
    let mut connection = connection(&url);
    assert!(admits(&store, &policies, &client).await);
    let before = calls(&mut connection, "evalsha");
    for _ in 0..100 {
        admits(&store, &policies, &client).await;
    }
    assert_eq!(calls(&mut connection, "evalsha") - before, 100);
    assert_eq!(calls(&mut connection, "eval"), 0);
    // As after a restart or a failover: loaded again, unseen.
    let () = cmd("SCRIPT").arg("FLUSH").query(&mut connection).unwrap();
    store.decide(Check::new(&policies, &client, 1)).await.unwrap();
}

#[tokio::test]
async fn all_state_has_a_time_to_live_and_recovers_one() {
    let url = start_redis();
    let store = store(&url, "ttl").await;
    let policies = policy("2/hour; 9/second");
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
        assert!((1..=3_700_000).contains(&milliseconds), "{key}: {milliseconds}");
    }
}

#[tokio::test]
async fn names_are_readable_or_digested() {
    let url = start_redis();
    let store = store(&url, "names").await;
    let policies = policy("2/hour");
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

#[tokio::test]
async fn a_password_is_never_shown() {
    for url in ["redis://user:hunter2@127.0.0.1:1/0", "redis://user:hunter2@[/0"] {
        let builder = RedisStore::builder(url);
        assert!(!format!("{builder:?}").contains("hunter2"));
        let error = builder.connect().await.unwrap_err().to_string();
        assert!(error.starts_with("store: ") && !error.contains("hunter2"), "{error}");
    }
}

/// A program of the examples, as `cargo test --workspace` has built it.
fn program(name: &str) -> String {
    let mut folder = env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    let program = folder.join(name);
    assert!(program.is_file(), "{name} is not built; run `cargo build -p {name}`, or ./tests/run");
    program.to_str().unwrap().to_owned()
}

fn config(name: &str, prefix: &str, table: &str) -> PathBuf {
    let policies: String = ["default", "api", "login"]
        .map(|policy| {
            let quota = "quota = \"500/hour; 2000/day\"\nalgorithm = \"fixed_window\"";
            format!("[{table}policies.{policy}]\n{quota}\n")
        })
        .concat();
    let root = table.trim_end_matches('.');
    let head = if root.is_empty() { String::new() } else { format!("[{root}]\n") };
    let url = redis_url();
    let file = env::temp_dir().join(format!("limiter-{name}-{}.toml", std::process::id()));
    let text =
        format!("{head}store = \"{url}\"\nprefix = \"{prefix}\"\ndeadline = \"10s\"\n{policies}");
    fs::write(&file, text).unwrap();
    file
}

/// An actix-web and a Rocket process, one client, two thousand requests at once.
#[test]
fn two_processes_share_one_budget() {
    let prefix = format!("shared-{}", std::process::id());
    let (actix, rocket) =
        (config("shared-actix", &prefix, ""), config("shared-rocket", &prefix, "default.limiter."));
    let servers = [
        Server::start(
            &program("actix-config"),
            "PORT",
            &[("LIMITER_CONFIG", actix.to_str().unwrap())],
        ),
        Server::start(
            &program("rocket-config"),
            "ROCKET_PORT",
            &[("ROCKET_CONFIG", rocket.to_str().unwrap()), ("ROCKET_LOG_LEVEL", "critical")],
        ),
    ];
    let (admitted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for server in &servers {
            for _ in 0..10 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        match server.get("/api").status().as_u16() {
                            200 => admitted.fetch_add(1, Ordering::Relaxed),
                            429 => refused.fetch_add(1, Ordering::Relaxed),
                            other => panic!("{other} was not expected"),
                        };
                    }
                });
            }
        }
    });
    for file in [actix, rocket] {
        let _ = fs::remove_file(file);
    }
    assert_eq!((admitted.into_inner(), refused.into_inner()), (500, 1_500));
}

//! Redis: one server, a cluster, a server that Sentinel watches.

use std::{
    env, fs,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Connection, FromRedisValue, cmd};

use super::{Program, folder, free_port, text};

/// The URL of a Redis server: `LIMITER_TEST_REDIS_URL`, or one that is started
/// at first use.
pub(crate) fn redis_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| env::var("LIMITER_TEST_REDIS_URL").unwrap_or_else(|_| start_redis()))
}

/// The same of a cluster: `LIMITER_TEST_REDIS_CLUSTER_URL`, or one of three
/// masters and a replica.
pub(crate) fn cluster_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        env::var("LIMITER_TEST_REDIS_CLUSTER_URL").unwrap_or_else(|_| start_cluster())
    })
}

/// The same of a service of Sentinel: `LIMITER_TEST_REDIS_SENTINEL_URL`, or one
/// of a master and a replica.
pub(crate) fn sentinel_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        env::var("LIMITER_TEST_REDIS_SENTINEL_URL").unwrap_or_else(|_| start_sentinel())
    })
}

/// Starts a Redis server of the caller's own.
pub(crate) fn start_redis() -> String {
    format!("redis://127.0.0.1:{}/0", start(&[]))
}

/// Starts a Redis server of the caller's own, with options of its command line.
pub(crate) fn start_redis_with(options: &[&str]) -> String {
    format!("redis://127.0.0.1:{}/0", start(options))
}

/// Starts a server that speaks TLS on another port, with that certificate and
/// its key; returns the URL.
pub(crate) fn start_redis_with_tls(certificate: &str, key: &str) -> String {
    let tls = free_port();
    let tls_text = tls.to_string();
    let files = ["--tls-cert-file", certificate, "--tls-key-file", key];
    let clients = ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"];
    start(&[&["--tls-port", &tls_text][..], &files, &clients].concat());
    format!("rediss://localhost:{tls}/0")
}

/// Starts a server where one has stopped.
pub(crate) fn start_redis_at(port: u16) {
    start_at(port, &[]);
}

/// Starts a node of a cluster where one has stopped, which finds in that folder
/// what it is.
pub(crate) fn start_cluster_node_at(port: u16, folder: &str) {
    let bus = free_port().to_string();
    let options = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--dir", folder];
    start_at(port, &options);
}

fn start(options: &[&str]) -> u16 {
    let port = free_port();
    start_at(port, options);
    port
}

fn start_at(port: u16, options: &[&str]) {
    let folder = folder("redis");
    let port_text = port.to_string();
    let command = ["redis-server", "--port", &port_text, "--bind", "127.0.0.1", "--save", ""];
    let command = [&command[..], &["--dir", text(&folder)], options].concat();
    let command = command.into_iter().map(str::to_owned).collect();
    Program { command, folder: &folder, port, signal: "TERM" }.keep();
}

/// Starts three masters and a replica of the caller's own.
pub(crate) fn start_cluster() -> String {
    let nodes: Vec<(u16, u16)> = (0..4)
        .map(|_| {
            let bus = free_port();
            let bus_text = bus.to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus_text];
            (start(&options), bus)
        })
        .collect();
    for (index, range) in [(0, 5460), (5461, 10922), (10923, 16383)].into_iter().enumerate() {
        let () = ask(nodes[index].0, &["CLUSTER", "ADDSLOTSRANGE"], &[range.0, range.1]);
    }
    for (port, bus) in &nodes[1..] {
        let () = ask(nodes[0].0, &["CLUSTER", "MEET", "127.0.0.1"], &[*port, *bus]);
    }
    let all_know = |count: usize| {
        nodes.iter().all(|(port, _)| {
            let known: String = ask(*port, &["CLUSTER", "NODES"], &[]);
            known.lines().filter(|line| !line.contains("handshake")).count() == count
        })
    };
    until(|| all_know(nodes.len()));
    let master: String = ask(nodes[0].0, &["CLUSTER", "MYID"], &[]);
    let () = ask(nodes[3].0, &["CLUSTER", "REPLICATE", &master], &[]);
    until(|| {
        nodes.iter().all(|(port, _)| {
            let (state, known): (String, String) =
                (ask(*port, &["CLUSTER", "INFO"], &[]), ask(*port, &["CLUSTER", "NODES"], &[]));
            state.contains("cluster_state:ok") && known.contains("slave")
        })
    });
    let hosts: Vec<_> = nodes[..3].iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
    format!("redis-cluster://{}", hosts.join(","))
}

/// Starts a master, a replica and a sentinel of the caller's own.
pub(crate) fn start_sentinel() -> String {
    let master = start(&[]);
    start(&["--replicaof", "127.0.0.1", &master.to_string()]);
    until(|| ask::<String>(master, &["INFO", "replication"], &[]).contains("state=online"));
    let (port, folder) = (free_port(), folder("sentinel"));
    let file = folder.join("sentinel.conf");
    let config = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor limits 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds limits 1000\nsentinel failover-timeout limits 5000\n",
        text(&folder)
    );
    fs::write(&file, config).expect("the temporary folder can be written to");
    let command = ["redis-server", text(&file), "--sentinel"].map(str::to_owned).to_vec();
    Program { command, folder: &folder, port, signal: "TERM" }.keep();
    until(|| ask::<String>(port, &["INFO", "sentinel"], &[]).contains("slaves=1"));
    format!("redis-sentinel://127.0.0.1:{port}/limits")
}

fn ask<T: FromRedisValue>(port: u16, words: &[&str], numbers: &[u16]) -> T {
    let client = Client::open(format!("redis://127.0.0.1:{port}/")).expect("the URL is one");
    let mut connection: Connection = client.get_connection().expect("the server was started");
    let mut command = cmd(words[0]);
    command.arg(&words[1..]).arg(numbers);
    command.query(&mut connection).expect("the server does as asked")
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "the servers do not come together");
        thread::sleep(Duration::from_millis(20));
    }
}

//! An actix-web and a Rocket process on one store, as a service of several
//! servers is.

use std::{
    env, fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use limiter_tests::Server;

use crate::databases::{on_databases, unique};

/// Both frameworks' `-config` examples, set up alike.
pub(crate) struct Pair {
    pub(crate) actix: Server,
    pub(crate) rocket: Server,
}

impl Pair {
    /// Starts both with the same limits for "/api" and "/login"; `clocks` are
    /// environment variables that set their clocks.
    pub(crate) fn start(url: &str, limits: &str, clocks: [&[(&str, &str)]; 2]) -> Self {
        let prefix = unique("pair");
        let actix = file(url, &prefix, limits, "");
        let rocket = file(url, &prefix, limits, "default.limiter.");
        let start = |name: &str, port: &str, environment: &[&[(&str, &str)]]| {
            Server::start(&program(name), port, &environment.concat())
        };
        let text = |file: &PathBuf| file.to_str().unwrap().to_owned();
        let pair = Self {
            actix: start(
                "actix-config",
                "PORT",
                &[&[("LIMITER_CONFIG", &text(&actix))], clocks[0]],
            ),
            rocket: start(
                "rocket-config",
                "ROCKET_PORT",
                &[
                    &[("ROCKET_CONFIG", &text(&rocket)), ("ROCKET_LOG_LEVEL", "critical")],
                    clocks[1],
                ],
            ),
        };
        for file in [actix, rocket] {
            let _ = fs::remove_file(file);
        }
        pair
    }

    /// Sends two thousand requests, twenty at once, half of them to each;
    /// returns how many were admitted and refused.
    fn storm(&self) -> (usize, usize) {
        let (admitted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for server in [&self.actix, &self.rocket].into_iter().cycle().take(20) {
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
        });
        (admitted.into_inner(), refused.into_inner())
    }
}

/// A program of the examples, as `cargo test --workspace` has built it.
pub(crate) fn program(name: &str) -> String {
    let mut folder = env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    let program = folder.join(name);
    assert!(program.is_file(), "{name} is not built; run `cargo build -p {name}`, or ./tests/run");
    program.to_str().unwrap().to_owned()
}

fn file(url: &str, prefix: &str, limits: &str, table: &str) -> PathBuf {
    let root = table.trim_end_matches('.');
    let head = if root.is_empty() { String::new() } else { format!("[{root}]\n") };
    let policies: String = ["default", "api", "login"]
        .map(|policy| format!("[{table}policies.{policy}]\n{limits}\n"))
        .concat();
    let file = env::temp_dir().join(format!("{}.toml", unique("limiter")));
    let text =
        format!("{head}store = \"{url}\"\nprefix = \"{prefix}\"\ntimeout = \"10s\"\n{policies}");
    fs::write(&file, text).unwrap();
    file
}

on_databases! {
    two_processes_share_one_budget
    two_processes_share_every_quota
    a_ban_by_one_framework_holds_for_the_other
}

fn two_processes_share_one_budget(url: &str) {
    let limits = "quota = \"500/hour; 2000/day\"\nalgorithm = \"fixed_window\"";
    let pair = Pair::start(url, limits, [&[], &[]]);
    assert_eq!(pair.storm(), (500, 1_500));
}

/// Fifty a second in windows of the key: so many for each second begun.
fn two_processes_share_every_quota(url: &str) {
    let limits = "quota = \"500/hour; 50/second\"\nalgorithm = \"fixed_window\"";
    let pair = Pair::start(url, limits, [&[], &[]]);
    let start = Instant::now();
    let (admitted, refused) = pair.storm();
    let windows = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    assert_eq!(admitted + refused, 2_000);
    assert!((50..=500.min(50 * windows)).contains(&admitted), "{admitted} in {windows} windows");
}

fn a_ban_by_one_framework_holds_for_the_other(url: &str) {
    let limits = "quota = \"1000/hour\"\n\
         ban = { threshold = 3, window = \"1m\", duration = \"1m\", statuses = [401] }";
    let pair = Pair::start(url, limits, [&[], &[]]);
    let status = |server: &Server| server.send("POST", "/login", &[], "wrong").status().as_u16();
    let told = [&pair.actix, &pair.rocket, &pair.actix].map(status);
    assert_eq!(told, [401, 401, 401]);
    assert_eq!((status(&pair.rocket), status(&pair.actix)), (403, 403));
    assert_eq!(pair.rocket.get("/api").status().as_u16(), 200);
}

on_databases! {
    [redis_url postgres_url mysql_url sqlite_url]
    processes_that_start_at_once_all_start
}

/// On a store that none of them has seen before: each makes its tables, and makes a
/// decision. `LIMITER_TEST_PROCESSES` starts other than twelve.
fn processes_that_start_at_once_all_start(url: &str) {
    let processes = env::var("LIMITER_TEST_PROCESSES").map_or(12, |text| text.parse().unwrap());
    let prefix = unique("start");
    let is_file = url.starts_with("sqlite:");
    let url = if is_file { format!("{url}-{prefix}") } else { url.to_owned() };
    let config = file(&url, &prefix, "quota = \"1000/hour\"", "");
    let environment = [("LIMITER_CONFIG", config.to_str().unwrap()), ("LIMITER_POOL_SIZE", "1")];
    let program = program("actix-config");
    let start = || Server::start(&program, "PORT", &environment);
    let servers: Vec<Server> = thread::scope(|scope| {
        let starting: Vec<_> = (0..processes).map(|_| scope.spawn(start)).collect();
        starting.into_iter().map(|starting| starting.join().unwrap()).collect()
    });
    let _ = fs::remove_file(config);
    for server in &servers {
        assert_eq!(server.get("/api").status().as_u16(), 200);
    }
}

// SQLite's clock is the host's.
on_databases! {
    [redis_url sentinel_url cluster_url postgres_url bouncer_url mysql_url]
    clocks_of_applications_change_nothing
}

/// The clocks of both processes are 20 s apart, and neither is the database's.
fn clocks_of_applications_change_nothing(url: &str) {
    let library = faketime();
    let by = |offset: &'static str| {
        [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME", offset),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    };
    let limits = "quota = \"2/8s\"\nalgorithm = \"fixed_window\"";
    let pair = Pair::start(url, limits, [&by("-10s"), &by("+10s")]);
    let start = Instant::now();
    let told = [&pair.actix, &pair.rocket, &pair.actix, &pair.rocket]
        .map(|server| server.get("/api").status().as_u16());
    assert!(start.elapsed() < Duration::from_secs(8), "the machine is too slow for this test");
    assert_eq!(told, [200, 200, 429, 429]);
}

/// The library that shifts a program's clock.
fn faketime() -> String {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|library| library.is_file());
    let found = found.expect("faketime is installed; ./tests/run installs it");
    found.to_str().unwrap().to_owned()
}

//! Cost that a limit adds to a request, in actix-web and in Rocket.

mod http_server;
mod instructions;
mod run_server;

use std::{process::Command, time::Duration};

use self::http_server::HttpServer;
pub(crate) use self::run_server::serve;
use crate::{
    chart::{Chart, Group, Kind},
    options::Pace,
    report::{Row, Section, Target, a_second, figure},
    rounds::{Contender, Rounds, in_turn},
    suite::servers::redis_url,
};

/// The servers that are asked in turn.
const SERVERS: [&str; 7] = [
    ACTIX,
    "actix-limiter",
    "actix-extensible-rate-limit",
    "rocket",
    "rocket-limiter",
    "actix-limiter-redis",
    "actix-limitation",
];
const ACTIX: &str = "actix";

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let (rounds, instructions) = (throughput(pace), instructions::measure(pace));
    let rate = |n: usize| a_second(rounds.median(n));
    let row = |work: &str, ours: usize, beside: &str, n: usize, target| Row {
        work: work.to_owned(),
        ours: rate(ours),
        beside: format!("{beside} {}", rate(n)),
        ratios: vec![rounds.ratio(ours, n)],
        target,
    };
    let bare = Some(Target::AtLeast(0.97));
    let mut rows = vec![
        row("actix-web", 1, "without a limit", 0, bare),
        row("actix-web", 1, "actix-extensible-rate-limit", 2, Some(Target::AtLeast(1.0))),
        row("Rocket", 4, "without a limit", 3, bare),
        row("actix-web, on Redis", 5, "actix-limitation", 6, Some(Target::AtLeast(1.0))),
    ];
    rows.extend(added(&instructions));
    let bars = SERVERS.iter().enumerate().map(|(n, name)| {
        let rate = Some(rounds.median(n));
        let ours = name.contains("limiter");
        let bars = if ours { vec![rate, None] } else { vec![None, rate] };
        Group { name: (*name).to_owned(), bars }
    });
    let chart = Chart {
        name: "http",
        title: "Requests a second through one worker".to_owned(),
        kind: Kind::Bars {
            series: ["ours", "others"].map(str::to_owned).to_vec(),
            groups: bars.collect(),
        },
    };
    let note = "One worker thread answers `wrk` with 32 connections that are kept, all of one \
                address, with the limiters' fields in the answers. Instructions are counted by \
                callgrind.";
    vec![Section { title: "HTTP", note: note.to_owned(), rows, charts: vec![chart] }]
}

fn throughput(pace: &Pace) -> Rounds {
    let servers = SERVERS.map(|name| HttpServer::start(name, redis_url()));
    let contenders = servers
        .iter()
        .map(|server| -> Contender<'_> { Box::new(|| requests_a_second(&server.url, pace.time)) });
    in_turn(pace.rounds, contenders.collect())
}

fn requests_a_second(url: &str, time: Duration) -> f64 {
    let duration = format!("-d{}s", time.as_secs().max(1));
    let output = Command::new("wrk").args(["-t1", "-c32", &duration, url]).output();
    let output = output.expect("wrk is installed by tests/benchmarks/run");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(!told.contains("Non-2xx"), "{told}");
    let rate = told.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("wrk tells {told:?}"))
}

/// How many instructions limits add to a request.
fn added(counts: &[f64; 8]) -> [Row; 5] {
    let [actix, ours, peer, rocket, rocket_ours, refused, banned, rocket_refused] = *counts;
    let (ours, peer) = (ours - actix, peer - actix);
    let thousand = |count: f64| format!("{} k", figure(count / 1e3));
    let beside = |work: &str, count: f64, admitted: f64, target| Row {
        work: work.to_owned(),
        ours: thousand(count),
        beside: format!("an admitted one {}", thousand(admitted)),
        ratios: vec![count / admitted],
        target,
    };
    [
        Row {
            work: "instructions added to a request of actix-web".to_owned(),
            ours: thousand(ours),
            beside: format!(
                "actix-extensible-rate-limit {} (to {})",
                thousand(peer),
                thousand(actix)
            ),
            ratios: vec![ours / peer],
            target: Some(Target::AtMost(0.35)),
        },
        Row {
            work: "the same of Rocket".to_owned(),
            ours: thousand(rocket_ours - rocket),
            beside: format!("(to {})", thousand(rocket)),
            ratios: Vec::new(),
            target: None,
        },
        beside("a request of actix-web that is refused (429)", refused - actix, ours, None),
        beside("a request of actix-web that is banned (403)", banned - actix, ours, None),
        beside(
            "a request of Rocket that is refused (429)",
            rocket_refused - rocket,
            rocket_ours - rocket,
            Some(Target::AtMost(1.0)),
        ),
    ]
}

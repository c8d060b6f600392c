//! Cost that a limit adds to a request, in actix-web and in Rocket.

mod instructions;
mod server_apps;
mod server_process;

use std::{process::Command, time::Duration};

pub(crate) use self::server_apps::serve;
use self::{instructions::Added, server_process::HttpServer};
use crate::{
    chart::{Chart, Group, Kind},
    options::Pace,
    report::{Row, Section, Target, a_second, figure},
    rounds::{Contender, Rounds, in_turn},
    suite::servers::redis_url,
};

/// The servers that are measured in turn, and the status with which each answers. Of all but
/// the last two, which call Redis, the instructions are counted.
const SERVERS: [(&str, u16); 12] = [
    ("actix", 200),
    ("actix-limiter", 200),
    ("actix-governor-admitting", 200),
    ("actix-extensible-rate-limit", 200),
    ("actix-limiter-refusing", 429),
    ("actix-limiter-banning", 403),
    ("actix-governor-refusing", 429),
    ("rocket", 200),
    ("rocket-limiter", 200),
    ("rocket-limiter-refusing", 429),
    ("actix-limiter-redis", 200),
    ("actix-limitation", 200),
];

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let (rounds, added) = (throughput(pace), instructions::measure(pace));
    let rate = |n: usize| a_second(rounds.median(n));
    let row = |work: &str, ours: usize, beside: &str, n: usize, least| Row {
        work: work.to_owned(),
        ours: rate(ours),
        beside: format!("{beside} {}", rate(n)),
        ratios: vec![rounds.ratio(ours, n)],
        target: Some(Target::AtLeast(least)),
    };
    let mut rows = vec![
        row("actix-web", 1, "without a limit", 0, 0.94),
        row("actix-web", 1, "actix-governor", 2, 1.0),
        row("actix-web", 1, "actix-extensible-rate-limit", 3, 1.0),
        row("actix-web, refused (429)", 4, "without a limit", 0, 0.92),
        row("actix-web, banned (403)", 5, "without a limit", 0, 0.92),
        row("actix-web, refused (429)", 4, "actix-governor", 6, 1.0),
        row("Rocket", 8, "without a limit", 7, 0.89),
        row("Rocket, refused (429)", 9, "admitted", 8, 1.0),
        row("actix-web, on Redis", 10, "actix-limitation", 11, 1.0),
    ];
    rows.extend(instruction_rows(&added));
    let bars = SERVERS.iter().enumerate().map(|(n, (name, _))| {
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
                address, with the limiters' fields in the answers. The floor is the server without \
                a limit. Ours keeps the decision for the handler, and answers a refusal with a \
                problem document; actix-governor keeps nothing for the handler, every key for good, \
                and answers with a line of text. Instructions are counted by callgrind.";
    vec![Section {
        title: "HTTP",
        note: note.to_owned(),
        rows,
        limits: LIMITS,
        charts: vec![chart],
    }]
}

const LIMITS: &str = "\
of the instructions added to an admitted request of actix-web, the two fields take about 1,900, inside actix-web and in \
their text, the check 500, finding the client and its policies 700, the future around the handler 400, and the rest is \
the permit that the handler may take, and what is allocated for all of it. A refusal saves the handler, and writes a \
problem document and five fields. In Rocket a quarter is allocations; a refusal goes through its catchers, and has five \
fields, so that another quarter is hashes of header names, letter by letter.";

fn throughput(pace: &Pace) -> Rounds {
    let servers = SERVERS.map(|(name, status)| (HttpServer::start(name, redis_url()), status));
    let contenders = servers.iter().map(|(server, status)| -> Contender<'_> {
        Box::new(|| requests_a_second(server, *status, pace.time))
    });
    in_turn(pace.rounds, contenders.collect())
}

fn requests_a_second(server: &HttpServer, status: u16, time: Duration) -> f64 {
    if status != 200 {
        // The first ones are admitted, and strike.
        server.ask(20, status);
    }
    let duration = format!("-d{}s", time.as_secs().max(1));
    let output = Command::new("wrk").args(["-t1", "-c32", &duration, &server.url]).output();
    let output = output.expect("wrk is installed by tests/benchmarks/run");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.contains("Non-2xx"), status != 200, "{printed}");
    let rate = printed.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("{printed:?}"))
}

/// How many instructions limits add to a request.
fn instruction_rows(added: &Added) -> [Row; 5] {
    let thousand = |count: f64| format!("{} k", figure(count / 1e3));
    let row = |work: &str, ours: f64, beside: String, ratio: f64, target| Row {
        work: work.to_owned(),
        ours: thousand(ours),
        beside,
        ratios: vec![ratio.into()],
        target,
    };
    // Beside a number of instructions, not a peer.
    let within = |work: &str, ours: f64, most: f64, beside: String| {
        let beside = format!("at most {}; {beside}", thousand(most));
        row(work, ours, beside, ours / most, Some(Target::AtMost(1.0)))
    };
    let [actix, rocket] = added.bare.map(thousand);
    let peers = format!(
        "actix-governor {}, actix-extensible-rate-limit {}, to {actix}",
        thousand(added.governor),
        thousand(added.extensible)
    );
    let refused = format!("actix-governor {}", thousand(added.governor_refused));
    let admitted = format!("an admitted one {}", thousand(added.ours));
    [
        within("instructions added to a request of actix-web", added.ours, 2_700.0, peers),
        within("the same, refused (429)", added.refused, 3_000.0, refused),
        within("the same, banned (403)", added.banned, 3_000.0, admitted),
        within(
            "instructions added to a request of Rocket",
            added.rocket,
            11_500.0,
            format!("to {rocket}"),
        ),
        row(
            "the same, refused (429)",
            added.rocket_refused,
            format!("an admitted one {}", thousand(added.rocket)),
            added.rocket_refused / added.rocket,
            Some(Target::AtMost(1.0)),
        ),
    ]
}

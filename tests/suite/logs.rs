//! The output of programs while they serve: bounded, whatever clients send, and true.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    databases::unique,
    storm::{
        http_client::{Answers, Attacker, request},
        service::{Framework, ROUTES, address, start, start_with_log},
    },
};

const CONNECTIONS: usize = 20;
const BURSTS: usize = 35;

/// Seconds between two lines about a shadow policy.
const INTERVAL: u64 = 10;

#[test]
fn a_shadow_policy_writes_a_line_an_interval_on_actix() {
    a_shadow_policy_writes_a_line_an_interval(Framework::Actix);
}

#[test]
fn a_shadow_policy_writes_a_line_an_interval_on_rocket() {
    a_shadow_policy_writes_a_line_an_interval(Framework::Rocket);
}

/// Sends 2100 requests, nearly all of which each policy would refuse.
fn a_shadow_policy_writes_a_line_an_interval(framework: Framework) {
    let settings = "quota = \"1/hour\"\nmode = \"shadow\"";
    let server = start_with_log(framework, "memory", &unique("shadow"), settings, "normal");
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut attacker = runtime.block_on(Attacker::connect(server.port(), CONNECTIONS));
    let mut answers = Answers::default();
    for _ in 0..BURSTS {
        for (_, method, path) in ROUTES {
            let request = request(method, path, &address(), "secret");
            answers.merge(runtime.block_on(attacker.burst(&request)));
        }
    }
    let intervals = usize::try_from(start.elapsed().as_secs() / INTERVAL + 1).unwrap();
    let written = server.log().with("(shadow)");
    println!("{framework:?}: {written} lines in {:?}, {:?}", start.elapsed(), answers.statuses);
    assert_eq!(answers.with(200), CONNECTIONS * BURSTS * ROUTES.len(), "{answers:?}");
    assert!((1..=ROUTES.len() * intervals).contains(&written), "{written}:\n{}", server.log());
}

/// Two lines, which are Rocket's own, of the level `warn`: what its guards and its
/// catchers do.
#[test]
fn of_a_refusal_rocket_prints_what_has_happened() {
    let settings = "quota = \"1/hour\"";
    let server = start(Framework::Rocket, "memory", &unique("refused"), settings);
    let client = address();
    let send = || server.send("GET", "/", &[("x-forwarded-for", &client)], "").status().as_u16();
    assert_eq!([send(), send(), send()], [200, 429, 429]);
    // Rocket prints the lines after the response.
    let start = Instant::now();
    while server.log().of_rocket().len() < 4 && start.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(10));
    }
    let rockets = server.log().of_rocket();
    let expected = [
        "Request guard `RateLimited` failed: Refused(429).",
        "Responding with registered (rate limit) 429 catcher.",
    ];
    assert_eq!(rockets.len(), 4, "{rockets:?}");
    for (line, expected) in rockets.iter().zip(expected.iter().cycle()) {
        assert!(line.contains(expected), "{rockets:?}");
    }
    assert_eq!(server.log().with("refused"), 0, "{}", server.log());
}

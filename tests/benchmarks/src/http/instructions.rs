//! Instructions a request, of a server that has answered many already: those
//! before have measured the clock, found room, and looked for proxies.

use std::{fs, process::Command};

use super::{ACTIX, http_server::HttpServer};
use crate::{options::Pace, suite::servers::kept_folder};

/// In this order.
const SERVERS: [&str; 5] =
    [ACTIX, "actix-limiter", "actix-extensible-rate-limit", "rocket", "rocket-limiter"];

/// Requests that are not counted.
const BEFORE: usize = 1_200;

pub(super) fn measure(pace: &Pace) -> [f64; 5] {
    SERVERS.map(|name| counted(name, pace.requests) / pace.requests as f64)
}

/// Instructions of a server while it is asked so often.
fn counted(name: &str, requests: usize) -> f64 {
    let folder = kept_folder("callgrind");
    let (counts, log) = (folder.join("counts"), folder.join("log"));
    let files = [("--callgrind-out-file", &counts), ("--log-file", &log)]
        .map(|(option, file)| format!("{option}={}", file.display()));
    let words = ["valgrind", "--tool=callgrind", &files[0], &files[1]];
    let server = HttpServer::start_by(&words, name, "");
    server.ask(BEFORE);
    control(&server, "--zero");
    server.ask(requests);
    control(&server, "--dump");
    server.stop();
    // The first dump. At its end the server writes another one.
    let told = fs::read_to_string(counts.with_extension("1")).expect("callgrind has dumped");
    let count = told.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    count.unwrap_or_else(|| panic!("callgrind tells no count: {}", counts.display()))
}

/// Tells callgrind what to do, and waits until it is done.
fn control(server: &HttpServer, option: &str) {
    let command = Command::new("callgrind_control").args([option, &server.id()]).output();
    let output = command.expect("callgrind_control comes with valgrind");
    assert!(output.status.success(), "callgrind_control {option}: {output:?}");
}

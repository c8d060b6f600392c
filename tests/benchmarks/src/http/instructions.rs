//! Instructions a request, of a server that has answered many already: those
//! before have measured the clock, found room, and looked for proxies.

use std::{fs, process::Command};

use super::{SERVERS, server_process::HttpServer};
use crate::{options::Pace, suite::servers::kept_folder};

/// Requests that are not counted.
const BEFORE: usize = 1_200;

/// Instructions that a limit adds to a request.
pub(super) struct Added {
    pub(super) ours: f64,
    pub(super) governor: f64,
    pub(super) extensible: f64,
    pub(super) refused: f64,
    pub(super) banned: f64,
    pub(super) governor_refused: f64,
    pub(super) rocket: f64,
    pub(super) rocket_refused: f64,
    /// A request of actix-web and one of Rocket, without a limit.
    pub(super) bare: [f64; 2],
}

pub(super) fn measure(pace: &Pace) -> Added {
    let servers: [_; 10] = *SERVERS.first_chunk().expect("two more call Redis");
    let counts =
        servers.map(|(name, status)| counted(name, status, pace.requests) / pace.requests as f64);
    let [actix, ours, governor, extensible, refused, banned, governor_refused, others @ ..] =
        counts;
    let [rocket, rocket_ours, rocket_refused] = others;
    Added {
        ours: ours - actix,
        governor: governor - actix,
        extensible: extensible - actix,
        refused: refused - actix,
        banned: banned - actix,
        governor_refused: governor_refused - actix,
        rocket: rocket_ours - rocket,
        rocket_refused: rocket_refused - rocket,
        bare: [actix, rocket],
    }
}

/// Instructions of a server while it is asked so often.
fn counted(name: &str, status: u16, requests: usize) -> f64 {
    let folder = kept_folder("callgrind");
    let (counts, log) = (folder.join("counts"), folder.join("log"));
    let files = [("--callgrind-out-file", &counts), ("--log-file", &log)]
        .map(|(option, file)| format!("{option}={}", file.display()));
    let words = ["valgrind", "--tool=callgrind", &files[0], &files[1]];
    let server = HttpServer::start_by(&words, name, "");
    server.ask(BEFORE, status);
    control(&server, "--zero");
    server.ask(requests, status);
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

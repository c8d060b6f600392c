//! Instructions a request: of a server that answers twice as many, less those
//! of one that answers as many.

use std::fs;

use super::{ACTIX, serving::Serving};
use crate::{options::Pace, suite::servers::kept_folder};

/// In this order.
const SERVERS: [&str; 5] =
    [ACTIX, "actix-limiter", "actix-extensible-rate-limit", "rocket", "rocket-limiter"];

pub(super) fn measure(pace: &Pace) -> [f64; 5] {
    SERVERS.map(|name| {
        let more = counted(name, 2 * pace.requests) - counted(name, pace.requests);
        more / pace.requests as f64
    })
}

/// Instructions of a server from its start to its end.
fn counted(name: &str, requests: usize) -> f64 {
    let folder = kept_folder("callgrind");
    let (counts, log) = (folder.join("counts"), folder.join("log"));
    let files = [("--callgrind-out-file", &counts), ("--log-file", &log)]
        .map(|(option, file)| format!("{option}={}", file.display()));
    let words = ["valgrind", "--tool=callgrind", &files[0], &files[1]];
    let server = Serving::start_by(&words, name, "");
    server.ask(requests);
    server.stop();
    let told = fs::read_to_string(log).expect("callgrind writes a log");
    let count = told.lines().find_map(|line| line.split_once("Collected : ")?.1.parse().ok());
    count.unwrap_or_else(|| panic!("callgrind tells no count: {told}"))
}

//! Where and of what it was measured.

use std::{env, fs, process::Command, thread};

/// The folder that limiter is in.
pub(crate) fn root() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../..")
}

/// The commit, and whether it was changed since. What a run itself writes is no
/// change.
pub(crate) fn commit() -> String {
    let Some(commit) = told("git", &["-C", root(), "rev-parse", "--short", "HEAD"]) else {
        return "a commit unknown".to_owned();
    };
    let written = [":!tests/benchmarks/RESULTS.md", ":!tests/benchmarks/plots"];
    let status = [&["-C", root(), "status", "--porcelain", "--", "."][..], &written].concat();
    match told("git", &status) {
        Some(_) => format!("commit {commit} and changes to it"),
        None => format!("commit {commit}"),
    }
}

pub(crate) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let rustc = told("rustc", &["--version"]).unwrap_or_default();
    format!("{}, {cores} cores, Linux {kernel}, {rustc}", model())
}

/// How many processes wanted a core, of late.
pub(crate) fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

/// The peers, with their versions.
pub(crate) fn peers() -> String {
    let lock = include_str!("../Cargo.lock");
    let governor = include_str!("../actix-governor/Cargo.lock");
    let names = [
        ("governor", lock),
        ("actix-governor", governor),
        ("limitador", lock),
        ("actix-extensible-rate-limit", lock),
        ("actix-limitation", lock),
    ];
    let crates = names.map(|(name, lock)| {
        let package = lock.split_once(&format!("name = \"{name}\"\nversion = \""));
        let version = package.and_then(|(_, rest)| rest.split('"').next());
        format!("{name} {}", version.expect("it is locked"))
    });
    let node: serde_json::Value =
        serde_json::from_str(include_str!("../node/package.json")).expect("it is JSON");
    let node = ["rate-limiter-flexible", "ioredis", "pg", "mysql2"]
        .map(|name| format!("{name} {}", node["dependencies"][name].as_str().unwrap_or_default()));
    format!("{}; in Node {}: {}", crates.join(", "), version("node"), node.join(", "))
}

/// Returns the version that a server or a program prints.
pub(crate) fn version(program: &str) -> String {
    let told = told(program, &["--version"]).unwrap_or_default();
    let words = told.split([' ', '=', '-']);
    let number =
        |word: &&str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    let found = words.map(|word| word.trim_end_matches(',')).find(number);
    found.unwrap_or_default().trim_start_matches('v').to_owned()
}

fn model() -> String {
    let info = read("/proc/cpuinfo");
    let line = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    line.map_or(env::consts::ARCH, |(_, model)| model).to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

/// Returns the output of a program, if it can be run and prints something.
fn told(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !told.is_empty()).then_some(told)
}

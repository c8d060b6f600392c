//! How much memory a key takes: what a process of its own grows by.

use std::{env, fs, num::NonZeroU32, process::Command};

use governor::RateLimiter;
use limiter_core::{Key, Quota};

use crate::{
    report::{Row, Target, keys as told},
    work::{Governor, LIMIT, address, check, policy},
};

const OURS: &str = "limiter";
const IN_DEFAULT: &str = "limiter-with-room-for-a-million";
const BY_ADDRESS: &str = "governor-address";
const BY_TEXT: &str = "governor-text";

/// The target.
const BOUND: f64 = 20.0;

const FEW: usize = 10_000;

pub(super) fn rows(keys: usize) -> Vec<Row> {
    let [ours, address, text] = [OURS, BY_ADDRESS, BY_TEXT].map(|store| bytes_a_key(store, keys));
    let row = Row {
        work: format!("memory of {}", told(keys)),
        ours: format!("{ours:.0} bytes a key"),
        beside: format!("{BOUND}; governor {address:.0} by address, {text:.0} by `String`"),
        ratios: vec![(ours / BOUND).into()],
        target: Some(Target::AtMost(1.0)),
    };
    vec![row, few()]
}

/// Few keys in a store of the default size.
fn few() -> Row {
    let [ours, theirs] = [IN_DEFAULT, BY_ADDRESS].map(|store| bytes_a_key(store, FEW));
    Row {
        work: format!("memory of {}, room for a million", told(FEW)),
        ours: format!("{ours:.0} bytes a key"),
        beside: format!("governor {theirs:.0} by address"),
        ratios: vec![(ours / theirs).into()],
        target: None,
    }
}

/// Fills a store and prints by how many bytes this process grew.
pub(crate) fn grow(store: &str, keys: usize) {
    let before = resident();
    let grown = match store {
        OURS | IN_DEFAULT => {
            let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
            let room = if store == OURS { keys } else { 1_000_000 };
            let policy = policy(room, quota, None);
            (0..keys).for_each(|n| check(&policy, &policy.subjects_of(&Key::ip(address(n)))));
            resident() - before
        }
        BY_ADDRESS => {
            let governor = Governor::new();
            (0..keys).for_each(|n| governor.check(&address(n)));
            resident() - before
        }
        _ => {
            let limit = NonZeroU32::new(LIMIT).expect("the limit is not zero");
            let governor = RateLimiter::dashmap(governor::Quota::per_second(limit));
            (0..keys).for_each(|n| assert!(governor.check_key(&address(n).to_string()).is_ok()));
            resident() - before
        }
    };
    println!("{grown}");
}

fn bytes_a_key(store: &str, keys: usize) -> f64 {
    let program = env::current_exe().expect("this program is a file");
    let output = Command::new(program).args(["grow", store, &keys.to_string()]).output();
    let output = output.expect("this program can be started");
    let grown: Option<f64> =
        String::from_utf8(output.stdout).ok().and_then(|text| text.trim().parse().ok());
    grown.expect("it prints a number") / keys as f64
}

/// Bytes that this process has allocated and in memory: without the pages of its program, which
/// it reads as it goes on, whatever the keys.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kilobytes.expect("it says how much is resident") * 1_024
}

//! A check in memory, beside `governor`'s keyed one.
//!
//! `cargo bench -p limiter-core` prints nanoseconds a check, and the ratio of ours
//! to `governor`'s. Both are called in turn, round by round, so that a machine
//! whose speed drifts drifts for both; the figures are medians of the rounds. Ours
//! builds the key from the address within the timing and returns the whole
//! decision, by a policy of one GCRA quota with a ban rule that is not in force,
//! unless a row says otherwise; the store has room for twice the keys. With a
//! number (`cargo bench -p limiter-core -- 1000`) that many keys alone are
//! measured, with a word (`-- hot`) the cases whose name has it.

mod cases;
mod work;

use std::net::IpAddr;

use limiter_core::Quota;

use self::work::{Governor, LIMIT, address, check_address, in_order, order, policy, rule, time};

/// Checks that each thread makes in a round.
const CHECKS: usize = 300_000;
const ROUNDS: usize = 7;

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(&**only));
    println!("{:<44} {:>8} {:>8} {:>6}", "nanoseconds a check", "governor", "ours", "ratio");
    for keys in [1_000, 100_000, 1_000_000] {
        for spread in [Spread::Uniform, Spread::Zipf] {
            for threads in [1, 2] {
                if only.as_deref().is_none_or(|only| keys.to_string() == only) {
                    grid(keys, spread, threads);
                }
            }
        }
    }
    for case in cases::CASES.iter().filter(|case| is_wanted(case.name)) {
        let contenders = (case.begin)(CHECKS);
        compare(&format!("{} ({})", case.name, case.peer), contenders.theirs, contenders.ours);
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spread {
    Uniform,
    Zipf,
}

fn grid(keys: usize, spread: Spread, threads: usize) {
    let zipf = spread == Spread::Zipf;
    let orders: Vec<Vec<usize>> =
        (0..threads).map(|seed| order(CHECKS, keys, zipf, seed as u64)).collect();
    let addresses: Vec<IpAddr> = (0..keys).map(address).collect();
    let peer = Governor::new();
    let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
    let ours = policy(2 * keys, quota, Some(rule()));
    for address in &addresses {
        peer.check(address);
        check_address(&ours, address);
    }
    let addresses = in_order(&orders, &addresses);
    compare(
        &format!("{keys} keys, {spread:?}, {threads} thread(s)"),
        || time(&addresses, |address| peer.check(address)),
        || time(&addresses, |address| check_address(&ours, address)),
    );
}

/// Measures both in turn and prints their medians. The first round warms up.
fn compare(name: &str, mut theirs: impl FnMut() -> u128, mut ours: impl FnMut() -> u128) {
    let mut times = [const { Vec::new() }; 2];
    for round in 0..=ROUNDS {
        let figures = [theirs(), ours()];
        if round > 0 {
            times.iter_mut().zip(figures).for_each(|(times, figure)| times.push(figure));
        }
    }
    let [theirs, ours] = times.map(median);
    println!("{name:<44} {theirs:>8} {ours:>8} {:>6}", ratio(ours, theirs));
}

fn median(mut times: Vec<u128>) -> u128 {
    times.sort_unstable();
    times[times.len() / 2] / 1_000
}

/// Two decimals, without a float.
fn ratio(ours: u128, theirs: u128) -> String {
    let hundredths = ours * 100 / theirs.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

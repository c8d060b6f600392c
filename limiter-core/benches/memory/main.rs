//! A check in memory, beside `governor`'s keyed one.
//!
//! `cargo bench -p limiter-core` prints nanoseconds a check and their ratio.
//! Both are asked in turn, round by round, so that a machine whose speed drifts
//! drifts for both; the figures are medians of the rounds. `check` is a whole
//! decision by a policy of one GCRA quota, `with ban rule` the same with a rule
//! that is not in force; the store has room for twice the keys. With a number
//! (`cargo bench -p limiter-core -- 1000`) that many keys alone are measured.

mod work;

use std::net::IpAddr;

use limiter_core::{Key, Quota, Subjects};

use self::work::{Governor, LIMIT, address, check, in_order, order, policy, rule, time};

/// Checks that each thread makes in a round.
const CHECKS: usize = 500_000;
const ROUNDS: usize = 7;

fn main() {
    println!(
        "{:>9} {:>8} {:>7} | {:>8} | {:>8} {:>5} | {:>13} {:>5}",
        "keys", "spread", "threads", "governor", "check", "ratio", "with ban rule", "ratio"
    );
    let wanted: Option<usize> = std::env::args().find_map(|argument| argument.parse().ok());
    for keys in [1_000, 100_000, 1_000_000] {
        if wanted.is_some_and(|wanted| wanted != keys) {
            continue;
        }
        for zipf in [false, true] {
            for threads in [1, 2] {
                compare(keys, zipf, threads);
            }
        }
    }
}

fn compare(keys: usize, zipf: bool, threads: usize) {
    let orders: Vec<Vec<usize>> =
        (0..threads).map(|seed| order(CHECKS, keys, zipf, seed as u64)).collect();
    let addresses: Vec<IpAddr> = (0..keys).map(address).collect();
    let peer = Governor::new();
    let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
    let (plain, banning) = (policy(2 * keys, quota, None), policy(2 * keys, quota, Some(rule())));
    let subjects: Vec<Subjects> =
        addresses.iter().map(|address| plain.subjects_of(&Key::ip(*address))).collect();

    let (addresses, subjects) = (in_order(&orders, &addresses), in_order(&orders, &subjects));
    let mut times = [const { Vec::new() }; 3];
    // The first round warms up: it fills the stores.
    for round in 0..=ROUNDS {
        let figures = [
            time(&addresses, |address| peer.check(address)),
            time(&subjects, |subjects| check(&plain, subjects)),
            time(&subjects, |subjects| check(&banning, subjects)),
        ];
        if round > 0 {
            times.iter_mut().zip(figures).for_each(|(times, figure)| times.push(figure));
        }
    }
    let [governor, check, ban] = times.map(median);
    println!(
        "{keys:>9} {:>8} {threads:>7} | {governor:>8} | {check:>8} {:>5} | {ban:>13} {:>5}",
        if zipf { "zipf" } else { "uniform" },
        ratio(check, governor),
        ratio(ban, governor),
    );
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

//! A tenant on many nodes, in virtual time: the table of `docs/leased_quota.md`.

use std::{cmp::Reverse, collections::BinaryHeap, fmt::Write};

use super::simulated_nodes::{Meter, Nodes, Random, START, SWEEP};
use crate::{Algorithm, Policy, Quota};

/// Requests a second that each node gets.
const RATE: u64 = 200;

/// Microseconds of virtual time, and those after which calls are counted: at twice its limit
/// a full bucket is empty after a second.
const END: u64 = 1_500_000;
const STEADY: u64 = 1_000_000;

/// The loads of the table, in tenths of the limit.
const LOADS: [u64; 3] = [5, 9, 20];

#[derive(Debug, Default)]
struct Counts {
    /// From [`STEADY`] on.
    checks: u64,
    calls: u64,
    admitted: u64,
    /// Requests that an exact count of all nodes together admits.
    exact: u64,
    /// Requests of the admitted ones that an exact count of these refuses.
    beyond: u64,
}

fn simulate(nodes: u64, tenths: u64, algorithm: Algorithm) -> Counts {
    let limit = nodes * RATE * 10 / tenths;
    let quota = Quota::per_second(limit).unwrap().with_algorithm(algorithm).unwrap();
    let policy = Policy::new("api", quota).unwrap();
    let cluster = Nodes::new(nodes as usize, &policy.clone().with_lease(true));
    let (exact, meter) = (Meter::new(&policy), Meter::new(&policy));
    let mut random = Random(nodes * 100 + tenths);
    // Times between requests are even, from none to twice the mean.
    let mut pause = || random.below(2 * 1_000_000 / RATE + 1);
    let start = START.as_micros();
    let mut arrivals: BinaryHeap<_> =
        (0..nodes).map(|node| Reverse((start + pause(), node as usize))).collect();
    let (mut counts, mut swept, mut calls_before) = (Counts::default(), start, 0);
    while let Some(Reverse((at, node))) = arrivals.pop() {
        if at >= start + END {
            continue;
        }
        while at >= swept + SWEEP {
            swept += SWEEP;
            cluster.clock.set(crate::Timestamp::from_micros(swept));
            (0..nodes as usize).for_each(|node| cluster.sweep(node));
        }
        cluster.clock.set(crate::Timestamp::from_micros(at));
        if at < start + STEADY {
            calls_before = cluster.calls();
        } else {
            counts.checks += 1;
        }
        counts.exact += u64::from(exact.admits(at, 1));
        if cluster.check(node, 1).is_allowed() {
            counts.admitted += 1;
            counts.beyond += u64::from(!meter.admits(at, 1));
        }
        arrivals.push(Reverse((at + pause(), node)));
    }
    counts.calls = cluster.calls() - calls_before;
    counts
}

impl Counts {
    fn per_thousand(part: u64, whole: u64) -> String {
        let thousandths = (part * 1_000 + whole / 2) / whole;
        format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
    }

    fn calls_per_check(&self) -> String {
        Self::per_thousand(self.calls, self.checks)
    }

    fn admitted_share(&self) -> String {
        Self::per_thousand(self.admitted, self.exact)
    }
}

fn table() -> String {
    let mut table = "| nodes | load | calls a check | admitted of exact | beyond the limit |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    for nodes in [1, 10, 100, 1_000] {
        for tenths in LOADS {
            let counts = simulate(nodes, tenths, Algorithm::Gcra);
            let (calls, share) = (counts.calls_per_check(), counts.admitted_share());
            writeln!(
                table,
                "| {nodes} | {}.{} | {calls} | {share} | {} |",
                tenths / 10,
                tenths % 10,
                counts.beyond
            )
            .unwrap();
            if tenths < 10 {
                assert!(counts.calls * 100 <= counts.checks * 16, "{nodes}, {tenths}: {counts:?}");
                assert!(
                    counts.admitted * 1_000 >= counts.exact * 999,
                    "{nodes}, {tenths}: {counts:?}"
                );
            }
            assert_eq!(counts.beyond, 0, "{nodes}, {tenths}: {counts:?}");
        }
    }
    table
}

/// The guide has what the simulation yields.
#[test]
fn the_table_of_the_guide_is_that_of_the_simulation() {
    let table = table();
    println!("{table}");
    let guide = include_str!("../../../../docs/leased_quota.md");
    assert!(guide.contains(&table), "put this into docs/leased_quota.md:\n{table}");
}

/// A slice of a window of a second is smaller towards its end, and one of a segment is small.
#[test]
fn a_tenant_below_its_limit_loses_next_to_nothing_at_the_end_of_windows() {
    for (algorithm, most_calls) in [
        (Algorithm::FixedWindow, 16),
        (Algorithm::SlidingWindow, 16),
        // Its segments are a twelfth of a second.
        (Algorithm::StrictWindow, 25),
    ] {
        let counts = simulate(100, 9, algorithm);
        println!("{algorithm:?}: {} {}", counts.calls_per_check(), counts.admitted_share());
        assert_eq!(counts.beyond, 0, "{algorithm:?}");
        assert!(counts.admitted * 1_000 >= counts.exact * 999, "{algorithm:?}: {counts:?}");
        assert!(counts.calls * 100 <= counts.checks * most_calls, "{algorithm:?}: {counts:?}");
    }
}

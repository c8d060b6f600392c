//! Random requests on several nodes: never more than the limit, whatever the algorithm.

use super::simulated_nodes::{Meter, Nodes, Random};
use crate::{Algorithm, Policy};

/// The phases of a run: microseconds between requests, and the most that one costs.
const PHASES: [(u64, u64); 5] = [(2_000, 1), (200, 1), (50_000, 3), (500, 4), (1_000, 1)];

/// Sends requests to random nodes in random phases, some of which die, pause or are slow to give
/// back. Returns how many of those that were admitted an exact count refuses.
fn count_beyond(policy: &Policy, meter: &Policy, seed: u64) -> u64 {
    let mut random = Random(seed);
    let nodes = Nodes::new(1 + random.below(8) as usize, &policy.clone().with_lease(true));
    let meter = Meter::new(meter);
    let mut beyond = 0;
    for _ in 0..12 {
        let (mean, most) = PHASES[random.below(5) as usize];
        // Of some nodes in turn all requests come to a few.
        let busy = 1 + random.below(nodes.limiters.len() as u64);
        let sweeps = random.below(2) == 0;
        for _ in 0..random.below(800) {
            nodes.pass(random.below(2 * mean + 1));
            let (node, cost) = (random.below(busy) as usize, 1 + random.below(most));
            if nodes.check(node, cost).is_allowed() && !meter.admits(nodes.now(), cost) {
                beyond += 1;
            }
            if sweeps && random.below(16) == 0 {
                nodes.sweep(random.below(busy) as usize);
            }
        }
        nodes.pass(random.below(400_000));
    }
    let leased: u64 = (0..nodes.limiters.len()).map(|node| nodes.leased(node)).sum();
    assert!(leased > 0, "nothing was leased with the seed {seed}");
    beyond
}

fn policy(quota: &str, algorithm: Algorithm) -> Policy {
    let quotas = Policy::new("api", quota).unwrap().quotas().with_algorithm(algorithm).unwrap();
    Policy::new("api", quotas).unwrap()
}

/// A slice ends with the window or segment that was charged.
#[test]
fn windows_are_exact_at_every_instant() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::StrictWindow] {
        for quota in ["600/second", "3000/3s", "2000/minute; 900/second"] {
            let policy = policy(quota, algorithm);
            for seed in 0..5 {
                let beyond = count_beyond(&policy, &policy, seed);
                assert_eq!(beyond, 0, "{quota} {algorithm:?}, seed {seed}");
            }
        }
    }
}

/// A unit of a bucket is used up to 250 ms after it was charged, and time has paid it back by then:
/// at most what comes back in that time is on top of a burst.
#[test]
fn a_bucket_admits_its_burst_and_what_comes_back_in_250_ms() {
    for (quota, meter) in [
        ("600/second", "600/s burst 750"),
        ("3000/3s", "3000/3s burst 3250"),
        ("1000/s burst 400", "1000/s burst 650"),
    ] {
        for seed in 0..8 {
            let (policy, meter) = (policy(quota, Algorithm::Gcra), policy(meter, Algorithm::Gcra));
            assert_eq!(count_beyond(&policy, &meter, seed), 0, "{quota}, seed {seed}");
        }
    }
}

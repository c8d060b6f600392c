//! Leases in virtual time.

mod interplay;
mod properties;
mod simulated_nodes;
mod simulation;

use std::{sync::Barrier, thread};

use futures_executor::block_on;

use self::simulated_nodes::Nodes;
use super::{SHARD_KEYS, SHARDS};
use crate::{Algorithm, Key, Policy};

fn policy(quota: &str) -> Policy {
    Policy::new("api", quota).unwrap().with_lease(true)
}

fn fixed(quota: &str) -> Policy {
    let quotas = policy(quota).quotas().with_algorithm(Algorithm::FixedWindow).unwrap();
    Policy::new("api", quotas).unwrap().with_lease(true)
}

/// Sends a node 500 requests a second until it has taken a slice, and used a unit of it. Returns
/// how many were admitted.
fn with_slice(nodes: &Nodes, node: usize) -> u64 {
    let mut admitted = nodes.check_often(node, 150, 2_000);
    loop {
        let before = nodes.leased(node);
        admitted += nodes.check_often(node, 1, 2_000);
        if nodes.leased(node) == before {
            break;
        }
    }
    let before = nodes.leased(node);
    admitted += nodes.check_often(node, 1, 2_000);
    assert_eq!(nodes.leased(node), before + 1, "the slice is new");
    admitted
}

#[test]
fn a_key_that_is_checked_often_takes_few_calls() {
    let nodes = Nodes::new(1, &policy("10000/second"));
    assert_eq!(nodes.check_often(0, 500, 2_000), 500);
    let calls = nodes.calls();
    assert!(calls < 60, "{calls}");
    assert!(nodes.leased(0) > 440, "{}", nodes.leased(0));
}

#[test]
fn a_key_that_is_checked_rarely_is_not_leased() {
    let nodes = Nodes::new(1, &policy("10000/second"));
    nodes.check_often(0, 200, 12_000);
    assert_eq!((nodes.calls(), nodes.leased(0)), (200, 0));
}

#[test]
fn a_quota_of_a_few_units_loses_none_and_is_not_leased() {
    for quota in ["10/minute", "100/minute", "127/second"] {
        let nodes = Nodes::new(3, &policy(quota));
        let limit = quota.split_once('/').unwrap().0.parse::<u64>().unwrap();
        let admitted: u64 = (0..3).map(|node| nodes.check_often(node, limit, 100)).sum();
        // Within so short a time nothing comes back of a minute, and up to a tenth of a second.
        assert!((limit..=limit + limit / 20).contains(&admitted), "{quota}: {admitted}");
        assert_eq!((0..3).map(|node| nodes.leased(node)).sum::<u64>(), 0, "{quota}");
    }
}

#[test]
fn what_is_not_used_is_given_back() {
    let nodes = Nodes::new(1, &fixed("100000/hour"));
    let admitted = with_slice(&nodes, 0);
    assert!(nodes.remaining() < 100_000 - admitted, "there is a slice");
    nodes.pass(249_000);
    nodes.sweep(0);
    nodes.pass(1_000);
    nodes.sweep(0);
    assert_eq!(nodes.remaining(), 100_000 - admitted);
    // Once, and never again.
    nodes.sweep(0);
    drop(nodes.limiters[0].clone());
    assert_eq!(nodes.remaining(), 100_000 - admitted);
}

#[test]
fn the_limiter_gives_back_what_is_left_when_it_is_dropped_and_a_dead_node_does_not() {
    let policy = fixed("100000/hour");
    for is_dropped in [true, false] {
        let mut nodes = Nodes::new(2, &policy);
        let admitted = with_slice(&nodes, 1);
        let lost = 100_000 - admitted - nodes.remaining();
        assert!((8..=200).contains(&lost), "{lost}");
        if is_dropped {
            nodes.drop_last();
            assert_eq!(nodes.remaining(), 100_000 - admitted);
        } else {
            // The others have the rest of the window, and the next one whole.
            nodes.pass(3_600_000_000);
            assert_eq!(nodes.remaining(), 100_000);
        }
    }
}

#[test]
fn the_fields_show_no_more_than_there_is() {
    for algorithm in Algorithm::ALL {
        let quotas = policy("300000/minute").quotas().with_algorithm(*algorithm).unwrap();
        let nodes = Nodes::new(1, &Policy::new("api", quotas).unwrap().with_lease(true));
        with_slice(&nodes, 0);
        let before = nodes.leased(0);
        let shown = nodes.check(0, 1).quotas()[0].remaining();
        assert_eq!(nodes.leased(0), before + 1, "it is from the slice");
        nodes.limiters[0].0.end_slices();
        let left = nodes.remaining();
        assert!(shown <= left && shown + 20 > left, "{algorithm:?}: {shown} of {left}");
    }
}

#[test]
fn a_request_that_is_given_back_is_given_back_once() {
    let policy = fixed("100000/hour");
    let nodes = Nodes::new(1, &policy.with_refund([500]).unwrap());
    let mut admitted = with_slice(&nodes, 0);
    let leased = nodes.leased(0);
    let before = nodes.check(0, 1).quotas()[0].remaining();
    admitted += 1;
    let permit = nodes.admit(0);
    assert_eq!(nodes.leased(0), leased + 2);
    let shown = permit.decision().quotas()[0].remaining();
    assert_eq!(shown, before - 1, "one unit less, and not the rest of the slice");
    block_on(permit.record_response(500));
    block_on(permit.record_response(500));
    let permit = nodes.admit(0);
    block_on(permit.charge_to(41));
    admitted += 41;
    block_on(permit.charge_to(40));
    admitted -= 1;
    nodes.limiters[0].0.end_slices();
    assert_eq!(nodes.remaining(), 100_000 - admitted);
}

#[test]
fn many_threads_use_each_unit_of_a_slice_once() {
    let nodes = Nodes::new(2, &fixed("20000/hour"));
    let barrier = Barrier::new(8);
    let admitted: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (nodes, barrier) = (&nodes, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let checks = (0..4_000).map(|_| {
                        nodes.pass(100);
                        u64::from(nodes.check(thread % 2, 1).is_allowed())
                    });
                    checks.sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // How many, the machine's scheduler says.
    let leased = nodes.leased(0) + nodes.leased(1);
    assert!(leased > 2_000, "{leased}");
    nodes.limiters.iter().for_each(|limiter| limiter.0.end_slices());
    assert_eq!(admitted + nodes.remaining(), 20_000, "no unit is used twice, and none is lost");
}

/// More hot keys than the table holds, and a flood of others that are seen once.
#[test]
fn the_table_of_keys_is_bounded_and_follows_the_load() {
    let nodes = Nodes::new(1, &policy("10000/second"));
    for generation in 0..2 {
        let user = |n: u64| Key::user(&format!("user-{generation}-{n}"));
        let keys: Vec<_> = (0..4_500).map(user).collect();
        let before = nodes.leased(0);
        for round in 0..40 {
            for (n, key) in keys.iter().enumerate() {
                let _ = nodes.check_of(0, key, 1);
                if n % 100 == 0 {
                    let once = Key::user(&format!("seen-once-{generation}-{round}-{n}"));
                    let _ = nodes.check_of(0, &once, 1);
                }
            }
            nodes.pass(2_000);
        }
        let leased = nodes.leased(0) - before;
        assert!(leased > 30_000, "most hot keys of {generation} have slices: {leased}");
        nodes.pass(2_000_000);
        nodes.sweep(0);
    }
    let shards = nodes.limiters[0].0.leases.shards.iter();
    let sizes: Vec<_> = shards.map(|shard| shard.read().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= SHARD_KEYS), "{sizes:?}");
    assert_eq!(sizes.len(), SHARDS);
}

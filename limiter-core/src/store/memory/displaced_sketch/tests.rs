//! Promises of a sketch to keys that come back, and to new ones.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    algorithm::{Segments, Wait},
    policy::Policy,
    quota::Algorithm,
    store::memory::counter_ids::Id,
};

fn tag(key: u64) -> Tag {
    Tag::counter(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 7, Id::MIN)
}

fn quotas() -> impl Strategy<Value = Quota> {
    (1u64..20, 1u64..500, 1u64..40, prop::sample::select(Algorithm::ALL)).prop_map(
        |(limit, window, burst, algorithm)| {
            let quota = Quota::new(limit, Duration::from_micros(window)).unwrap();
            match algorithm {
                Algorithm::Gcra => quota.with_burst(burst).unwrap(),
                other => quota.with_algorithm(other).unwrap(),
            }
        },
    )
}

fn spec(quota: Quota) -> CounterSpec {
    Policy::new("api", quota).unwrap().counters().quotas[0].spec
}

#[test]
fn the_last_instant_of_a_clock_has_a_tick() {
    let spec = spec(Quota::new(1, Duration::from_micros(1)).unwrap());
    let now = Timestamp::from_micros(u64::MAX);
    let mut displaced = DisplacedUsage::default();
    displaced.insert(tag(1), &spec, UsageBound { used: 0, until: u64::MAX }, now);
    assert!(displaced.find::<Segments>(tag(1), &spec, now).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A key never finds less than it has used, whoever else was displaced and
    /// whenever it comes back.
    #[test]
    fn nobody_finds_less_than_the_truth(
        quota in quotas(),
        displaced in prop::collection::vec((0u64..60, 1u64..20), 1..80),
        later in 0u64..1_500,
    ) {
        let (mut now, spec) = (1_000_003, spec(quota));
        let mut sketches = DisplacedUsage::default();
        let mut kept = Vec::new();
        for (key, (step, cost)) in displaced.into_iter().enumerate() {
            now += step;
            let at = Timestamp::from_micros(now);
            let usage: Usage = Usage::at(quota, None, at).charge(cost.min(quota.burst()));
            sketches.insert(tag(key as u64), &spec, usage.bound().unwrap(), at);
            kept.push((key as u64, usage.state()));
        }
        let now = Timestamp::from_micros(now + later);
        for (key, state) in kept {
            let known: Usage = Usage::at(quota, state, now);
            let found: Option<Usage> = sketches.find(tag(key), &spec, now);
            let found = found.unwrap_or_else(|| Usage::at(quota, None, now));
            for cost in 1..=quota.burst() {
                prop_assert!(found.wait(cost) >= known.wait(cost), "{found:?} {known:?}");
            }
        }
    }
}

#[test]
fn a_stranger_finds_nothing_and_all_ends() {
    let quota = Quota::per_minute(5).unwrap();
    let spec = spec(quota);
    let at = Timestamp::from_micros;
    let mut sketches = DisplacedUsage::default();
    for key in 0..40 {
        let usage: Usage = Usage::at(quota, None, at(0)).charge(1);
        sketches.insert(tag(key), &spec, usage.bound().unwrap(), usage.now());
    }
    let strangers = 1_000_000..1_010_000;
    let mut finds = |key: u64, now| -> Option<Usage> { sketches.find(tag(key), &spec, now) };
    let hits = strangers.filter(|key| finds(*key, at(1)).is_some()).count();
    // 80 of 1024 cells are taken, so 0.6 % of strangers hit two of them.
    assert!((20..120).contains(&hits), "{hits} of 10,000");
    let after = at(60_000_000);
    assert!(
        (0..40).all(|key| { finds(key, after).is_none_or(|usage| usage.wait(5) == Wait::None) })
    );
}

/// A bucket that drains in 33 1/3 microseconds.
#[test]
fn a_full_bucket_is_found_to_the_fraction_of_a_microsecond() {
    let quota = Quota::new(3, Duration::from_micros(100)).unwrap().with_burst(1).unwrap();
    let (spec, now) = (spec(quota), Timestamp::from_micros(1_000_003));
    let full: Usage = Usage::at(quota, None, now).charge(1);
    let mut sketches = DisplacedUsage::default();
    sketches.insert(tag(1), &spec, full.bound().unwrap(), now);
    let found: Option<Usage> = sketches.find(tag(1), &spec, now);
    assert_eq!(found.unwrap().wait(1), Wait::Micros(34));
}

//! Exact instants, and the promises that hold for every algorithm.

mod give_back;
#[cfg(feature = "memory")]
mod memory_words;
mod refund_abuse;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Algorithm;

fn quota(text: &str, algorithm: Algorithm) -> Quota {
    text.parse::<Quota>().unwrap().with_algorithm(algorithm).unwrap()
}

/// One quota of one key, asked as a store would.
struct Counter {
    quota: Quota,
    state: Option<State>,
}

impl Counter {
    fn new(text: &str, algorithm: Algorithm) -> Self {
        Self { quota: quota(text, algorithm), state: None }
    }

    fn level(&self, micros: u64) -> Usage {
        Usage::at(self.quota, self.state.clone(), Timestamp::from_micros(micros))
    }

    fn take(&mut self, micros: u64, cost: u64) -> bool {
        let level = self.level(micros);
        let admitted = level.wait(cost) == Wait::None;
        if admitted {
            self.state = level.charge(cost).state();
        }
        admitted
    }
}

#[test]
fn gcra_is_exact_where_the_interval_is_not_whole() {
    let mut counter = Counter::new("3/10ms", Algorithm::Gcra);
    let admitted: Vec<u64> = (0..=30).filter(|ms| counter.take(ms * 1_000, 1)).collect();
    assert_eq!(admitted, [0, 1, 2, 4, 7, 10, 14, 17, 20, 24, 27, 30]);
}

#[test]
fn gcra_tells_what_is_left() {
    let mut counter = Counter::new("10/minute burst 3", Algorithm::Gcra);
    assert!(counter.take(0, 2));
    let level = counter.level(0);
    assert_eq!((level.remaining(), level.reset_after()), (1, 12_000_000));
    assert_eq!(level.wait(2), Wait::Micros(6_000_000));
    assert_eq!(level.wait(4), Wait::Never);
    // One unit more is there in six seconds, as long as one takes at the rate.
    assert_eq!(level.effective_window(level.remaining()), 6_000_000);
}

#[test]
fn a_fixed_window_starts_at_the_first_request() {
    let mut counter = Counter::new("2/minute", Algorithm::FixedWindow);
    assert!(counter.take(59_000_000, 1));
    assert!(counter.take(61_000_000, 1));
    let level = counter.level(61_000_000);
    assert_eq!(level.wait(1), Wait::Micros(58_000_000));
    assert_eq!(level.effective_window(level.remaining()), 58_000_000);
    assert!(!counter.take(118_999_999, 1));
    assert!(counter.take(119_000_000, 2));
}

#[test]
fn a_sliding_window_rounds_up() {
    let mut counter = Counter::new("1/ms", Algorithm::SlidingWindow);
    assert!(counter.take(1_999, 1));
    let admitted: Vec<u64> = (2_000..4_000).filter(|micros| counter.take(*micros, 1)).collect();
    assert_eq!(admitted, [3_000], "once in two milliseconds, and not twice");
}

#[test]
fn the_cloudflare_example() {
    // 42 in the window before, 18 in this one, a quarter of it gone: 49.5.
    let quota = quota("50/minute", Algorithm::SlidingWindow);
    let state = State::SlidingWindow { start: 60_000_000, current: 18, previous: 42 };
    let level: Usage = Usage::at(quota, Some(state), Timestamp::from_micros(75_000_000));
    assert_eq!(level.remaining(), 0);
    // 31 and not 32 of the 42 still weigh: 45 s - 31 / 42 of a minute.
    assert_eq!(level.wait(1), Wait::Micros(714_286));
}

#[test]
fn a_changed_limit_keeps_what_was_used() {
    for algorithm in Algorithm::ALL.iter().copied() {
        let mut counter = Counter::new("10/minute", algorithm);
        assert!(counter.take(0, 8));
        counter.quota = quota("20/minute", algorithm);
        assert_eq!(counter.level(0).remaining(), 12, "{algorithm:?}");
        counter.quota = quota("1/minute", algorithm);
        assert_eq!(counter.level(0).remaining(), 0, "{algorithm:?}");
        assert_ne!(counter.level(0).wait(1), Wait::None, "{algorithm:?}");
    }
}

#[test]
fn a_lowered_burst_keeps_what_was_used() {
    let mut counter = Counter::new("1/s burst 100", Algorithm::Gcra);
    assert!(counter.take(0, 100));
    counter.quota = quota("1/s burst 10", Algorithm::Gcra);
    assert_eq!(counter.level(0).wait(1), Wait::Micros(91_000_000));
}

#[test]
fn the_largest_quotas_are_exact() {
    let most = "999999999999999/day";
    for algorithm in Algorithm::ALL.iter().copied() {
        let mut counter = Counter::new(most, algorithm);
        let now = 4_000_000_000_000_000;
        assert!(counter.take(now, 999_999_999_999_998), "{algorithm:?}");
        assert_eq!(counter.level(now).remaining(), 1);
        assert!(counter.take(now, 1));
        assert!(!counter.take(now, 1));
        assert_eq!(counter.level(now).wait(u64::MAX), Wait::Never);
    }
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL)
}

/// Quotas small enough that a few requests reach every edge.
fn quotas() -> impl Strategy<Value = Quota> {
    (1u64..8, 1u64..50, 1u64..12, algorithms()).prop_map(|(limit, window, burst, algorithm)| {
        let quota = Quota::new(limit, Duration::from_micros(window)).unwrap();
        match algorithm {
            Algorithm::Gcra => quota.with_burst(burst).unwrap(),
            other => quota.with_algorithm(other).unwrap(),
        }
    })
}

/// Steps of time and cost.
fn requests() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0u64..30, 0u64..4), 1..80)
}

proptest! {
    #[test]
    fn a_request_passes_at_its_retry_and_not_before(
        quota in quotas(), requests in requests(), cost in 1u64..12, start in 1_000u64..1_100,
    ) {
        let mut counter = Counter { quota, state: None };
        let mut now = start;
        for (step, taken) in requests {
            now += step;
            counter.take(now, taken);
            match counter.level(now).wait(cost) {
                Wait::None => prop_assert!(counter.level(now).remaining() >= cost),
                Wait::Never => prop_assert!(cost > quota.burst()),
                Wait::Micros(wait) => {
                    prop_assert!(wait > 0);
                    prop_assert_eq!(counter.level(now + wait).wait(cost), Wait::None);
                    prop_assert_ne!(counter.level(now + wait - 1).wait(cost), Wait::None);
                }
            }
        }
    }

    #[test]
    fn what_remains_is_what_passes(quota in quotas(), requests in requests(), start in 0u64..100) {
        let mut counter = Counter { quota, state: None };
        let mut now = 1_000 + start;
        for (step, taken) in requests {
            now += step;
            counter.take(now, taken);
            let level = counter.level(now);
            let remaining = level.remaining();
            prop_assert_eq!(level.wait(remaining), Wait::None);
            prop_assert_ne!(level.wait(remaining + 1), Wait::None);
            prop_assert_eq!(level.state().is_none(), level.reset_after() == 0);
            let reset = counter.level(now + level.reset_after());
            prop_assert_eq!(reset.remaining(), quota.burst());
            if level.reset_after() > 0 && level.quota().algorithm() == Algorithm::Gcra {
                prop_assert_ne!(counter.level(now + level.reset_after() - 1).state(), None);
            }
            // A state says the same as the level it was made of.
            let again: Usage = Usage::at(quota, level.state(), Timestamp::from_micros(now));
            prop_assert_eq!(again.remaining(), remaining);
        }
    }

    /// No client gets more than the documented worst case, however it asks.
    #[test]
    fn the_worst_case_holds_in_any_window(quota in quotas(), requests in requests()) {
        let mut counter = Counter { quota, state: None };
        let mut now = 1_000;
        let mut admitted: Vec<(u64, u64)> = Vec::new();
        for (step, cost) in requests {
            now += step;
            if counter.take(now, cost) {
                admitted.push((now, cost));
            }
        }
        let window = quota.window_micros();
        let worst = match quota.algorithm() {
            Algorithm::Gcra => quota.burst() + quota.limit() - 1,
            Algorithm::StrictWindow => quota.limit(),
            _ => 2 * quota.limit() - 1,
        };
        for (from, _) in &admitted {
            let within = admitted.iter().filter(|(at, _)| (*from..from + window).contains(at));
            let units: u64 = within.map(|(_, cost)| cost).sum();
            prop_assert!(units <= worst, "{units} of {worst} by {quota:?}");
        }
    }

    /// Time may step back: nothing panics, and nobody is locked out for long.
    #[test]
    fn a_clock_that_steps_back_locks_nobody_out(
        quota in quotas(), requests in requests(), back in 0u64..5_000, cost in 1u64..3,
    ) {
        let mut counter = Counter { quota, state: None };
        let mut now = 1_000_000;
        for (step, taken) in requests {
            now += step;
            counter.take(now, taken);
        }
        let now = now - back;
        let level = counter.level(now);
        let none: Usage = Usage::at(quota, None, Timestamp::from_micros(now));
        let full = none.charge(quota.burst());
        let longest = 2 * full.reset_after().max(quota.window_micros()) + quota.window_micros();
        if let Wait::Micros(wait) = level.wait(cost) {
            prop_assert!(wait <= longest, "{wait} of {longest}");
        }
        prop_assert!(level.remaining() <= quota.burst());
    }
}

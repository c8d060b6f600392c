//! Limits that change while a key has used units, and state that nobody can have
//! written.

use proptest::prelude::*;

use crate::{
    Algorithm, Quota, State, Timestamp,
    algorithm::{Usage, Wait},
};

const WINDOW: std::time::Duration = std::time::Duration::from_secs(2);

fn quota(limit: u64, burst: u64, algorithm: Algorithm) -> Quota {
    let quota = Quota::new(limit, WINDOW).unwrap();
    match algorithm {
        Algorithm::Gcra => quota.with_burst(burst).unwrap(),
        other => quota.with_algorithm(other).unwrap(),
    }
}

fn at(quota: Quota, state: Option<State>, micros: u64) -> Usage {
    Usage::at(quota, state, Timestamp::from_micros(micros))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// A refused request passes exactly at the announced instant, if nothing else arrives,
    /// whatever limits were in force before.
    #[test]
    fn waits_are_exact_after_changed_limits(
        steps in prop::collection::vec((1_u64..200, 1_u64..200, 1_u64..50, 0_u64..3_000_000), 1..8),
        algorithm in prop::sample::select(Algorithm::ALL),
    ) {
        let (mut state, mut now) = (None, 1_700_000_000_000_000);
        for (limit, burst, cost, pause) in steps {
            now += pause;
            let quota = quota(limit, burst, algorithm);
            let usage = at(quota, state.clone(), now);
            match usage.wait(cost) {
                Wait::None => state = usage.charge(cost).state(),
                Wait::Never => prop_assert!(cost > quota.burst()),
                Wait::Micros(wait) => {
                    let then = |micros: u64| at(quota, state.clone(), micros).wait(cost);
                    prop_assert_eq!(then(now + wait), Wait::None, "{:?} {}", state, wait);
                    prop_assert_ne!(then(now + wait - 1), Wait::None, "{:?} {}", state, wait);
                    let reset = now + at(quota, state.clone(), now).reset_after();
                    prop_assert_eq!(at(quota, state.clone(), reset).reset_after(), 0);
                }
            }
        }
    }

    /// No state makes a request wait for longer than two of the longest windows.
    #[test]
    fn absurd_state_is_not_believed(
        tat: u64, fraction: u64, limit: u64, burst: u64, now: u64, used in 1_u64..10,
    ) {
        let state = Some(State::Gcra { tat, fraction: fraction % limit.max(1), limit, burst });
        let longest = 2 * 3_660 * 86_400_000_000;
        match at(quota(used, used, Algorithm::Gcra), state, now).wait(1) {
            Wait::Micros(wait) => prop_assert!(wait <= longest),
            Wait::None => {}
            Wait::Never => prop_assert!(false, "one unit fits always"),
        }
    }
}

#[test]
fn a_lowered_limit_is_waited_for_at_the_rate_of_what_was_used() {
    let before = quota(100, 100, Algorithm::Gcra);
    let state = at(before, None, 0).charge(82).state();
    let lowered = at(quota(1, 1, Algorithm::Gcra), state, 0);
    // Not 82 windows of the lowered limit: 82 units drain in 1.64 seconds, as they
    // were charged.
    assert_eq!(lowered.wait(1), Wait::Micros(1_640_000));
}

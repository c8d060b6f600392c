//! Promises of a strict window: never more than the limit in any window, and no
//! refusal more than a segment later than by an exact log.

use std::time::Duration;

use proptest::prelude::*;

use crate::{
    Algorithm, Quota, State, Timestamp,
    algorithm::{Usage, Wait},
};

fn quota(limit: u64, window: u64, segments: u8) -> Quota {
    Quota::new(limit, Duration::from_micros(window))
        .and_then(|quota| quota.with_algorithm(Algorithm::StrictWindow))
        .and_then(|quota| quota.with_segments(segments))
        .unwrap()
}

/// A counter, and an exact log of what it has admitted.
struct Counter {
    quota: Quota,
    state: Option<State>,
    admitted: Vec<(u64, u64)>,
}

impl Counter {
    fn new(quota: Quota) -> Self {
        Self { quota, state: None, admitted: Vec::new() }
    }

    fn usage(&self, micros: u64) -> Usage {
        Usage::at(self.quota, self.state.clone(), Timestamp::from_micros(micros))
    }

    fn take(&mut self, micros: u64, cost: u64) -> bool {
        let usage = self.usage(micros);
        let admits = usage.wait(cost) == Wait::None;
        if admits {
            self.state = usage.charge(cost).state();
            self.admitted.push((micros, cost));
        }
        admits
    }

    /// The most units in any half-open interval as long as the window.
    fn most_in_a_window(&self) -> u64 {
        let window = self.quota.window_micros();
        let within = |from: u64| {
            let units = self.admitted.iter().filter(|(at, _)| (from..from + window).contains(at));
            units.map(|(_, cost)| cost).sum()
        };
        self.admitted.iter().map(|(from, _)| within(*from)).max().unwrap_or(0)
    }

    /// When an exact log of the same charges would admit the cost.
    fn exact(&self, now: u64, cost: u64) -> u64 {
        let window = self.quota.window_micros();
        let passes = |at: u64| {
            let used = self.admitted.iter().filter(|(then, _)| then + window > at);
            used.map(|(_, units)| units).sum::<u64>() + cost <= self.quota.limit()
        };
        let ends = self.admitted.iter().map(|(then, _)| then + window);
        std::iter::once(now).chain(ends).filter(|at| *at >= now && passes(*at)).min().unwrap()
    }
}

/// Every schedule of a client in two windows, at each microsecond nothing or one of two
/// costs: small enough to try all, and with windows that segments do not divide.
#[test]
fn no_schedule_gets_more_than_the_limit_in_any_window() {
    let mut schedules = 0;
    for (limit, window, segments) in
        [(1, 3, 1), (2, 4, 2), (2, 4, 3), (3, 4, 4), (2, 5, 2), (2, 5, 3), (3, 5, 12)]
    {
        let quota = quota(limit, window, segments);
        let length = 2 * window as u32 + 1;
        for phase in 0..window.div_ceil(u64::from(segments)) {
            for schedule in 0..3_u64.pow(length) {
                let mut counter = Counter::new(quota);
                let mut rest = schedule;
                for step in 0..u64::from(length) {
                    counter.take(1_000_000 + phase + step, rest % 3);
                    rest /= 3;
                }
                assert!(counter.most_in_a_window() <= limit, "{quota:?} {schedule}");
                schedules += 1;
            }
        }
    }
    assert!(schedules > 500_000, "{schedules}");
}

/// Half of a minute's units at its end, half at the next one's begin; and what other
/// algorithms fall for: twice the limit around an edge.
#[test]
fn an_edge_gives_nothing() {
    let minute = quota(10, 60_000_000, 12);
    for edge in (0..=120).map(|second| 1_000_000_000 + second * 500_000) {
        let mut counter = Counter::new(minute);
        for at in [edge - 1, edge, edge + 1, edge + 59_999_998] {
            (0..10).for_each(|_| {
                counter.take(at, 1);
            });
        }
        assert_eq!(counter.admitted.len(), 10, "{edge}");
    }
}

#[test]
fn a_segment_counts_until_a_window_after_its_end() {
    // Segments of 5 s; the one of 1001 s ends at 1005 s.
    let mut counter = Counter::new(quota(2, 60_000_000, 12));
    assert!(counter.take(1_001_000_000, 1) && counter.take(1_006_000_000, 1));
    let usage = counter.usage(1_010_000_000);
    assert_eq!(usage.wait(1), Wait::Micros(55_000_000));
    assert_eq!(usage.wait(2), Wait::Micros(60_000_000));
    assert_eq!((usage.remaining(), usage.reset_after()), (0, 60_000_000));
    assert_eq!(usage.effective_window(usage.remaining()), 55_000_000);
    assert_eq!(usage.wait(3), Wait::Never);
    let used = [1, 1].into();
    assert_eq!(usage.state(), Some(State::StrictWindow { start: 1_005_000_000, used }));
}

/// The state of a key is what its segments need: one count for one request, and never
/// more than one a segment and one.
#[test]
fn state_is_bounded() {
    let mut counter = Counter::new(quota(1_000_000, 60_000_000, 12));
    for step in 0..1_000 {
        counter.take(1_000_000_000 + step * 5_000_000, 1);
        let Some(State::StrictWindow { used, .. }) = &counter.state else { unreachable!() };
        assert_eq!(used.len() as u64, 1 + step.min(12));
    }
    counter.take(9_000_000_000, 1);
    let used = [1].into();
    assert_eq!(counter.state, Some(State::StrictWindow { start: 9_000_000_000, used }));
}

/// Quotas of which a few requests reach every edge, and some that are large.
fn quotas() -> impl Strategy<Value = Quota> {
    let small = (1_u64..20, 1_u64..300, 1_u8..15);
    let large =
        (900_000_000_000_000_u64..999_999_999_999_999, 1_u64..300_000_000_000_000, 1_u8..=60);
    prop_oneof![4 => small, 1 => large]
        .prop_map(|(limit, window, segments)| quota(limit, window, segments))
}

/// Where in a window the next request comes, in 1 / 1000, and how much of the limit it
/// takes.
fn requests() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let pause = prop_oneof![3 => 0_u64..100, 2 => 0_u64..1_200, 1 => Just(0)];
    prop::collection::vec((pause, 0_u64..500), 1..120)
}

fn part(whole: u64, thousandths: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(thousandths) / 1_000).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn never_more_than_the_limit_in_any_window(quota in quotas(), requests in requests()) {
        let mut counter = Counter::new(quota);
        let mut now = 1_700_000_000_000_000;
        for (pause, cost) in requests {
            now += part(quota.window_micros(), pause);
            counter.take(now, part(quota.limit(), cost).max(1));
        }
        prop_assert!(counter.most_in_a_window() <= quota.limit());
    }

    /// Whoever asks again and again is admitted as an exact log would, or at most one
    /// segment later.
    #[test]
    fn a_refusal_is_at_most_a_segment_too_early(quota in quotas(), requests in requests()) {
        let segment = quota.window_micros().div_ceil(u64::from(quota.segments()));
        let mut counter = Counter::new(quota);
        let mut now = 1_700_000_000_000_000;
        for (pause, cost) in requests {
            now += part(quota.window_micros(), pause);
            let cost = part(quota.limit(), cost).max(1);
            let exact = counter.exact(now, cost);
            match counter.usage(now).wait(cost) {
                Wait::None => prop_assert_eq!(exact, now, "admitted what a log would not"),
                Wait::Micros(wait) => {
                    prop_assert!(now + wait >= exact);
                    prop_assert!(now + wait <= exact + segment, "{} {}", now + wait, exact);
                }
                Wait::Never => prop_assert!(false, "the cost is within the limit"),
            }
            counter.take(now, cost);
        }
    }

    /// A summary answers as the segments do, at the instant and after a charge.
    #[test]
    fn a_summary_answers_as_the_segments(quota in quotas(), requests in requests()) {
        let mut counter = Counter::new(quota);
        let mut now = 1_700_000_000_000_000;
        for (pause, cost) in requests {
            now += part(quota.window_micros(), pause);
            let usage = counter.usage(now);
            let summary = usage.summary();
            prop_assert_eq!(summary.remaining(), usage.remaining());
            prop_assert_eq!(summary.reset_after(), usage.reset_after());
            prop_assert_eq!(summary.effective_window(summary.remaining()), usage.effective_window(usage.remaining()));
            let charged = usage.clone().charge(1);
            prop_assert_eq!(summary.charge(1), charged.summary());
            prop_assert_eq!(summary.charge(1).mark(), charged.mark());
            counter.take(now, part(quota.limit(), cost).max(1));
        }
    }
}

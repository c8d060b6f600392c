//! Charges beyond a limit, and units given back: exact cases and properties.

use proptest::prelude::*;

use super::*;

/// A charge and where it went.
#[derive(Clone, Copy, Debug)]
struct Charge {
    units: u64,
    mark: Mark,
}

impl Counter {
    fn charge(&mut self, micros: u64, units: u64) -> Charge {
        let mut usage = self.level(micros);
        let mark = usage.charge_beyond(units);
        self.state = usage.state();
        Charge { units, mark }
    }

    fn give_back(&mut self, micros: u64, Charge { units, mark }: Charge) {
        self.state = self.level(micros).give_back(units, mark).state();
    }
}

#[test]
fn what_is_given_back_at_once_was_never_charged() {
    for algorithm in Algorithm::ALL.iter().copied() {
        let mut counter = Counter::new("7/10ms", algorithm);
        counter.charge(3_000, 2);
        let before = counter.state.clone();
        let charge = counter.charge(3_500, 4);
        counter.give_back(3_500, charge);
        assert_eq!(counter.level(3_500), Counter { state: before, ..counter }.level(3_500));
    }
}

#[test]
fn nothing_is_given_back_into_another_window() {
    // Charged at 0.9 s of a window that began at 0, given back at 1.1 s.
    let mut counter = Counter::new("2/1s", Algorithm::FixedWindow);
    counter.charge(0, 1);
    let charge = counter.charge(900_000, 1);
    assert!(counter.take(1_050_000, 1), "a window has begun");
    counter.give_back(1_100_000, charge);
    assert_eq!([(); 3].map(|()| counter.take(1_100_000, 1)), [true, false, false]);
}

#[test]
fn the_previous_of_two_sliding_windows_gives_back() {
    let mut counter = Counter::new("4/1s", Algorithm::SlidingWindow);
    let charge = counter.charge(900_000, 3);
    counter.charge(1_000_000, 1);
    counter.give_back(1_000_000, Charge { units: 2, ..charge });
    assert_eq!(
        counter.state,
        Some(State::SlidingWindow { start: 1_000_000, current: 1, previous: 1 })
    );
    counter.charge(2_000_000, 1);
    let before = counter.state.clone();
    counter.give_back(2_000_000, charge);
    assert_eq!(counter.state, before, "two windows later the units are gone");
}

#[test]
fn units_that_time_has_paid_back_are_not_given_back_again() {
    // One unit a second; the first of two charges has drained after a second.
    let mut counter = Counter::new("10/10s", Algorithm::Gcra);
    let first = counter.charge(0, 1);
    let second = counter.charge(0, 2);
    counter.give_back(1_000_000, first);
    assert_eq!(counter.level(1_000_000).reset_after(), 2_000_000);
    counter.give_back(1_500_000, second);
    assert_eq!(counter.level(1_500_000).reset_after(), 0);
}

#[test]
fn more_than_two_buckets_does_not_count_as_none() {
    for (units, at_least) in [(10, 60), (100, 118), (1_000, 118), (u64::MAX, 118)] {
        let mut counter = Counter::new("10/minute", Algorithm::Gcra);
        counter.charge(0, units);
        let reset = counter.level(0).reset_after();
        assert!((at_least * 1_000_000..=120_000_000).contains(&reset), "{units}: {reset}");
        // A reader whose clock is behind finds it, too.
        let mut late = Counter::new("10/minute", Algorithm::Gcra);
        late.charge(1_000_000, units);
        assert!(!late.take(0, 1), "{units}");
        assert!(!counter.take(50_000_000 * u64::from(units > 10), 1), "{units}");
        assert!(counter.take(120_000_000, 1), "{units}: two windows at most");
    }
}

#[test]
fn two_large_buckets_are_believed_when_a_smaller_burst_has_charged_more() {
    let small: Quota = "10/minute".parse().unwrap();
    let large = small.with_burst(100).unwrap();
    let now = Timestamp::from_micros(0);
    let mut charged = Usage::at(large, None, now);
    charged.charge_beyond(u64::MAX);
    let mut again: Usage = Usage::at(small, charged.state(), now);
    again.charge_beyond(5);
    assert_eq!(again.reset_after(), charged.reset_after(), "it is charged as far as it can be");
    let mark = Mark::at(again.mark().at);
    // A unit that is given back writes the debt by the smaller burst.
    let given_back = again.give_back(1, mark);
    let read: Usage = Usage::at(small, given_back.state(), now);
    assert_eq!(read.reset_after(), charged.reset_after() - 6_000_000);
    // It is believed as far as that burst goes, and a clock that steps back further is not.
    let back = |micros: u64| {
        let then = Timestamp::from_micros(2_000_000_000 - micros);
        let state = match given_back.state() {
            Some(State::Gcra { tat, fraction, limit, burst }) => {
                Some(State::Gcra { tat: tat + 2_000_000_000, fraction, limit, burst })
            }
            _ => None,
        };
        Usage::<Segments>::at(small, state, then).reset_after()
    };
    assert!(back(6_000_000) > 0);
    assert_eq!(back(20_000_000), 0);
}

#[test]
fn windows_hold_any_number_for_two_windows_at_most() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::StrictWindow] {
        let mut counter = Counter::new("10/minute", algorithm);
        for _ in 0..3 {
            counter.charge(0, u64::MAX);
        }
        assert!(!counter.take(59_999_999, 1), "{algorithm:?}");
        assert!(counter.take(120_000_000, 1), "{algorithm:?}");
    }
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL)
}

/// Microseconds since the step before, and units to charge, or which charge to give back.
type Step = (u64, Result<u64, prop::sample::Index>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![(1u64..8).prop_map(Ok), any::<prop::sample::Index>().prop_map(Err),];
    prop::collection::vec((0u64..2_000, step), 1..60)
}

proptest! {
    /// Giving back never helps more than if nothing had ever been charged, never leaves
    /// more used than before, and each charge is given back once.
    #[test]
    fn given_back_units_lower_the_usage_by_no_more_than_themselves(
        algorithm in algorithms(), steps in steps()
    ) {
        let mut counter = Counter::new("7/10ms", algorithm);
        let (mut now, mut charges) = (1_000_000, Vec::new());
        for (micros, step) in steps {
            now += micros;
            let before = counter.level(now);
            match step {
                Ok(units) => {
                    charges.push(counter.charge(now, units));
                    prop_assert!(counter.level(now).remaining() <= before.remaining());
                }
                Err(index) if !charges.is_empty() => {
                    let charge = charges.swap_remove(index.index(charges.len()));
                    counter.give_back(now, charge);
                    let after = counter.level(now);
                    prop_assert!(after.remaining() >= before.remaining());
                    prop_assert!(after.remaining() <= before.remaining() + charge.units);
                    prop_assert!(after.reset_after() <= before.reset_after());
                }
                Err(_) => {}
            }
        }
        // Everything that is left drains by itself.
        prop_assert_eq!(counter.level(now + 40_000).state(), None);
    }

    /// A charge that is given back leaves a window as if it had never been, whatever was
    /// charged before and after. So it does a bucket, but for what time has paid back of
    /// it: that stays charged.
    #[test]
    fn one_charge_given_back_is_as_none(
        algorithm in algorithms(),
        before in prop::collection::vec((0u64..4_000, 1u64..3), 0..6),
        after in prop::collection::vec((0u64..4_000, 1u64..3), 0..6),
        units in 1u64..4,
        wait in 0u64..20_000,
    ) {
        let mut with = Counter::new("20/10ms", algorithm);
        let mut without = Counter::new("20/10ms", algorithm);
        let mut now = 1_000_000;
        for (micros, units) in before {
            now += micros;
            with.charge(now, units);
            without.charge(now, units);
        }
        // A window that this charge would have begun is none of the other's.
        prop_assume!(algorithm != Algorithm::FixedWindow || without.level(now).state().is_some());
        let charge = with.charge(now, units);
        for (micros, units) in after {
            now += micros;
            with.charge(now, units);
            without.charge(now, units);
        }
        now += wait;
        with.give_back(now, charge);
        if algorithm != Algorithm::Gcra {
            prop_assert_eq!(with.level(now), without.level(now));
            return Ok(());
        }
        let drained_of_it = now.saturating_sub(charge.mark.at.saturating_sub(500 * units));
        let more = with.level(now).reset_after() - without.level(now).reset_after();
        prop_assert!(more <= drained_of_it.min(500 * units), "{} of {}", more, drained_of_it);
    }
}

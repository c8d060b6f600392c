//! When a breaker opens and closes, instant by instant.

use std::time::{Duration, Instant};

use super::{State, state::Permission};
use crate::error::StoreError;
use crate::store::Health;

const TIMEOUT: Duration = Duration::from_millis(100);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn refused() -> StoreError {
    StoreError::not_applied("refused")
}

/// A state after so many calls that were refused at once.
fn failed(state: &mut State, times: u32, now: Instant) {
    (0..times).for_each(|_| state.call_failed(now, now, &refused()));
}

fn is_reported(state: &State) -> bool {
    state.health() != Health::Healthy
}

#[test]
fn it_opens_after_five_failures_in_a_row() {
    let (mut state, now) = (State::new(TIMEOUT), Instant::now());
    failed(&mut state, 4, now);
    state.call_succeeded(now);
    failed(&mut state, 4, now);
    assert!(!state.is_open() && !is_reported(&state));
    failed(&mut state, 1, now);
    assert!(state.is_open() && is_reported(&state));
    assert!(matches!(state.permission(now, false), Permission::Reject(_)));
}

/// As where a server closes all connections.
#[test]
fn calls_that_fail_together_are_one_failure_in_a_row() {
    let fail = |state: &mut State, sent, times| {
        (0..times).for_each(|_| state.call_failed(sent, sent + millis(5), &refused()));
    };
    let (mut state, start) = (State::new(TIMEOUT), Instant::now());
    fail(&mut state, start, 9);
    assert!(!state.is_open());
    // They count among the last calls.
    fail(&mut state, start, 1);
    assert!(state.is_open());
    let mut state = State::new(TIMEOUT);
    for round in 0..5 {
        assert!(!state.is_open(), "{round}");
        fail(&mut state, start + round * millis(10), 1);
    }
    assert!(state.is_open());
}

#[test]
fn it_opens_after_two_where_nothing_is_answered() {
    let (mut state, now) = (State::new(TIMEOUT), Instant::now());
    state.call_failed(now, now + millis(80), &refused());
    assert!(!state.is_open());
    state.call_failed(now + millis(80), now + millis(160), &refused());
    assert!(state.is_open());
}

#[test]
fn it_opens_where_half_of_the_calls_fail() {
    let (mut state, now) = (State::new(TIMEOUT), Instant::now());
    for call in 0..9 {
        failed(&mut state, 1, now);
        state.call_succeeded(now);
        assert!(!state.is_open(), "{call}");
    }
    failed(&mut state, 1, now);
    assert!(state.is_open());
}

#[test]
fn an_outage_ends_with_the_first_probe_that_succeeds() {
    let (mut state, now) = (State::new(TIMEOUT), Instant::now());
    failed(&mut state, 5, now);
    state.probe_failed(now, &refused());
    assert!(state.is_open() && is_reported(&state));
    state.probe_succeeded(now);
    assert!(!state.is_open() && !is_reported(&state));
    state.tick(now + millis(900));
    assert!(state.is_calm());
}

/// Probes succeed, calls fail: one outage, in which calls are tried ever more rarely.
#[test]
fn calls_that_fail_while_probes_succeed_are_one_outage() {
    let (mut state, start) = (State::new(TIMEOUT), Instant::now());
    let mut now = start;
    let mut tries = 0;
    while now < start + Duration::from_secs(600) {
        state.probe_succeeded(now);
        if !state.is_open() {
            tries += 1;
            failed(&mut state, 5, now);
        }
        assert!(state.is_open() || now == start);
        assert_eq!(is_reported(&state), state.is_open());
        now += millis(100);
    }
    assert!((10..=17).contains(&tries), "{tries}");
    // It heals, and after a second without failures that is reported.
    now += Duration::from_secs(60);
    state.probe_succeeded(now);
    assert!(!state.is_open() && is_reported(&state));
    state.call_succeeded(now + millis(900));
    assert!(!is_reported(&state));
}

/// Without a prober a call is let through from time to time.
#[test]
fn without_a_prober_calls_are_the_probes() {
    let (mut state, now) = (State::new(TIMEOUT), Instant::now());
    failed(&mut state, 5, now);
    let permitted = |state: &mut State, at| matches!(state.permission(at, true), Permission::Call);
    assert!(!permitted(&mut state, now + millis(99)));
    assert!(permitted(&mut state, now + millis(100)));
    assert!(!permitted(&mut state, now + millis(150)));
    state.probe_failed(now + millis(150), &refused());
    assert!(!permitted(&mut state, now + millis(300)));
    assert!(permitted(&mut state, now + millis(350)));
}

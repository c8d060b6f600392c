//! A circuit breaker: a store that fails is not asked for a while, so that
//! nobody waits for it (M. Nygard, "Release It!", 2007).

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Failures in a row after which the store is not asked any more.
const FAILURES: u32 = 5;

/// How long it is left alone then, and after every probe that fails twice as
/// long, up to the longest. Each pause is up to a quarter shorter or longer, so
/// that the servers do not all come back at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long a probe may take before another is sent.
const PROBE: Duration = Duration::from_secs(2);

/// Whether the store answers.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Health {
    /// It does.
    Healthy,
    /// It did not when it was last asked; policies do as `on_store_error` says.
    Degraded {
        /// Since when.
        since: SystemTime,
        /// What the store said last.
        reason: String,
    },
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CallPermission {
    /// Call the store.
    Call,
    /// Do without the store, and see whether it answers again.
    Probe,
    /// Do without the store.
    Reject,
}

#[derive(Default)]
pub(super) struct CircuitBreaker {
    /// Whether anything has failed since the store last answered.
    troubled: AtomicBool,
    trouble: Mutex<FailureState>,
}

#[derive(Debug, Default)]
struct FailureState {
    failures: u32,
    since: Option<SystemTime>,
    reason: String,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    pause: Duration,
    probe_at: Instant,
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.health().fmt(f)
    }
}

impl CircuitBreaker {
    pub(super) fn permission(&self) -> CallPermission {
        if !self.troubled.load(Ordering::Relaxed) {
            return CallPermission::Call;
        }
        let now = Instant::now();
        match &mut self.trouble().open {
            None => CallPermission::Call,
            Some(open) if open.probe_at <= now => {
                open.probe_at = now + PROBE;
                CallPermission::Probe
            }
            Some(_) => CallPermission::Reject,
        }
    }

    /// Whether anything has failed since the store last answered.
    pub(super) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }

    /// Whether the store is not to be asked.
    pub(super) fn is_open(&self) -> bool {
        self.troubled.load(Ordering::Relaxed) && self.trouble().open.is_some()
    }

    pub(super) fn health(&self) -> Health {
        let trouble = self.trouble();
        match trouble.since {
            None => Health::Healthy,
            Some(since) => Health::Degraded { since, reason: trouble.reason.clone() },
        }
    }

    /// Notes that the store has answered; said once a change.
    pub(super) fn answered(&self) {
        if !self.troubled.load(Ordering::Relaxed) {
            return;
        }
        let mut trouble = self.trouble();
        if self.troubled.swap(false, Ordering::Relaxed) {
            *trouble = FailureState::default();
            tracing::info!("the store answers again");
        }
    }

    /// Notes that the store has failed; said once a change.
    pub(super) fn failed(&self, reason: &dyn fmt::Display, was_probe: bool) {
        let mut trouble = self.trouble();
        self.troubled.store(true, Ordering::Relaxed);
        trouble.reason = reason.to_string();
        trouble.failures = trouble.failures.saturating_add(1);
        if trouble.since.is_none() {
            trouble.since = Some(SystemTime::now());
            tracing::error!(%reason, "the store fails; policies do as on_store_error says");
        }
        let failures = trouble.failures;
        match &mut trouble.open {
            Some(open) if was_probe => {
                open.pause = (2 * open.pause).min(LONGEST_PAUSE);
                open.probe_at = Instant::now() + jittered(open.pause);
            }
            // Asked before it opened.
            Some(_) => {}
            None if failures >= FAILURES => {
                let probe_at = Instant::now() + jittered(FIRST_PAUSE);
                trouble.open = Some(Open { pause: FIRST_PAUSE, probe_at });
            }
            None => {}
        }
    }

    fn trouble(&self) -> MutexGuard<'_, FailureState> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Three quarters to five quarters of it.
fn jittered(pause: Duration) -> Duration {
    let percent = 75 + RandomState::new().hash_one(0) % 51;
    pause * u32::try_from(percent).unwrap_or(100) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(times: u32) -> CircuitBreaker {
        let breaker = CircuitBreaker::default();
        (0..times).for_each(|_| breaker.failed(&"refused", false));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        let breaker = failing(FAILURES - 1);
        assert_eq!(breaker.permission(), CallPermission::Call);
        breaker.answered();
        assert_eq!(breaker.health(), Health::Healthy);
        (1..FAILURES).for_each(|_| breaker.failed(&"refused", false));
        assert_eq!(breaker.permission(), CallPermission::Call);
        breaker.failed(&"refused again", false);
        assert_eq!(breaker.permission(), CallPermission::Reject);
        let Health::Degraded { reason, .. } = breaker.health() else { panic!("it fails") };
        assert_eq!(reason, "refused again");
    }

    #[test]
    fn one_probe_is_sent_at_a_time_and_an_answer_closes_it() {
        let breaker = failing(FAILURES);
        std::thread::sleep(2 * FIRST_PAUSE);
        assert_eq!(breaker.permission(), CallPermission::Probe);
        assert_eq!(breaker.permission(), CallPermission::Reject);
        breaker.failed(&"refused", true);
        assert_eq!(breaker.permission(), CallPermission::Reject);
        breaker.answered();
        assert_eq!((breaker.permission(), breaker.is_open()), (CallPermission::Call, false));
    }

    #[test]
    fn pauses_grow_to_the_longest() {
        let breaker = failing(FAILURES);
        (0..10).for_each(|_| breaker.failed(&"refused", true));
        let trouble = breaker.trouble();
        let open = trouble.open.as_ref().unwrap();
        assert_eq!(open.pause, LONGEST_PAUSE);
        assert!(open.probe_at <= Instant::now() + LONGEST_PAUSE * 5 / 4);
    }
}

//! Limit of concurrency, the calls in flight at a time: additive increase, multiplicative
//! decrease by the delay of calls, as TCP Vegas does (Brakmo and Peterson, 1994).
//!
//! A server that is far away or slow to answer, but not busy, is sent more batches at
//! a time, so that no request waits long for its turn. A server that is busy answers
//! later the more it is sent: then fewer and larger batches are better.

use std::time::{Duration, Instant};

/// Requests that waited no longer are no reason for one more call: larger batches
/// cost the server less.
const SHORT_WAIT: Duration = Duration::from_millis(1);

/// The shortest time for which the shortest call is remembered.
const WINDOW: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    limit: usize,
    min: usize,
    max: usize,
    /// The shortest call of this window, and of the one before.
    shortest: [Duration; 2],
    window_end: Option<Instant>,
    /// Until when calls end that were sent before the last decrease.
    settled_at: Option<Instant>,
}

impl ConcurrencyLimit {
    pub(super) const fn new(min: usize, max: usize) -> Self {
        let shortest = [Duration::MAX; 2];
        Self { limit: min, min, max, shortest, window_end: None, settled_at: None }
    }

    /// Calls in flight at most.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Learns from a call that ended `now` and took so long. The oldest of its
    /// requests had waited for its turn.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        took: Duration,
        waited: Duration,
        succeeded: bool,
    ) {
        if !succeeded {
            return self.decrease(now, took, self.limit / 2);
        }
        let shortest = self.note_shortest(now, took);
        if took > 3 * shortest + SHORT_WAIT {
            self.decrease(now, took, self.limit * 3 / 4);
        } else if waited > SHORT_WAIT.max(shortest / 8) {
            self.limit = (self.limit + 1).min(self.max);
        }
    }

    /// Decreases once for all calls that were in flight at the same time.
    fn decrease(&mut self, now: Instant, took: Duration, limit: usize) {
        if self.settled_at.is_none_or(|at| at <= now) {
            self.limit = limit.clamp(self.min, self.max);
            self.settled_at = Some(now + took);
        }
    }

    /// Returns the shortest call of the last two windows.
    fn note_shortest(&mut self, now: Instant, took: Duration) -> Duration {
        if self.window_end.is_none_or(|end| end <= now) {
            self.window_end = Some(now + WINDOW);
            self.shortest = [took, self.shortest[0]];
        }
        self.shortest[0] = self.shortest[0].min(took);
        self.shortest[0].min(self.shortest[1])
    }
}

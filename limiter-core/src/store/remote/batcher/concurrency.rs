//! Limit of concurrency, the calls in flight at a time: additive increase, multiplicative
//! decrease by the delay of calls, as TCP Vegas does (Brakmo and Peterson, 1994).
//!
//! A server that is far away or slow to answer, but not busy, is sent more batches at
//! a time, so that no request waits long for its turn. A server that is busy answers
//! later the more it is sent: then fewer and larger batches are better.
//!
//! By Little's law, a server whose calls take twice as long needs twice as many of them in
//! flight for as many requests a second. So the most grows with the shortest call, up to
//! what the connection serves.

use std::time::{Duration, Instant};

use super::BatchLimits;

/// Requests that waited no longer are no reason for one more call: larger batches
/// cost the server less.
const SHORT_WAIT: Duration = Duration::from_millis(1);

/// For each time that the shortest call takes so long, one more call may be in flight.
const SLOWNESS: Duration = Duration::from_millis(5);

/// The shortest time for which the shortest call is remembered.
const WINDOW: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    limit: usize,
    min: usize,
    max: usize,
    max_slow: usize,
    /// The shortest call of this window, and of the one before.
    shortest: [Duration; 2],
    window_end: Option<Instant>,
    /// Until when calls end that were sent before the last decrease.
    settled_at: Option<Instant>,
}

impl ConcurrencyLimit {
    pub(super) const fn new(limits: &BatchLimits) -> Self {
        Self {
            limit: limits.min_in_flight,
            min: limits.min_in_flight,
            max: limits.max_in_flight,
            max_slow: limits.max_in_flight_slow,
            shortest: [Duration::MAX; 2],
            window_end: None,
            settled_at: None,
        }
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
        // A server that is slow no more.
        self.limit = self.limit.min(self.most(shortest));
        if took > 3 * shortest + SHORT_WAIT {
            self.decrease(now, took, self.limit * 3 / 4);
        } else if waited > SHORT_WAIT.max(shortest / 8) {
            self.limit = (self.limit + 1).min(self.most(shortest));
        }
    }

    /// Calls in flight at most, where the shortest takes so long.
    fn most(&self, shortest: Duration) -> usize {
        let more = shortest.as_millis() / SLOWNESS.as_millis();
        let most = self.max.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
        most.min(self.max_slow)
    }

    /// Decreases once for all calls that were in flight at the same time.
    fn decrease(&mut self, now: Instant, took: Duration, limit: usize) {
        if self.settled_at.is_none_or(|at| at <= now) {
            self.limit = limit.max(self.min);
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        entries: 32,
        in_shares: true,
        quotas: 256,
        times: 1_024,
        min_in_flight: 1,
        max_in_flight: 3,
        max_in_flight_slow: 24,
    };

    /// Learns from a hundred calls that take so long each, while requests wait.
    fn observe(limit: &mut ConcurrencyLimit, now: &mut Instant, call: Duration) {
        for _ in 0..100 {
            *now += call;
            limit.observe(*now, call, call, true);
        }
    }

    #[test]
    fn a_slow_server_is_sent_more_at_a_time() {
        for (millis, expected) in [(2, 3), (20, 7), (70, 17), (500, 24)] {
            let (mut limit, mut now) = (ConcurrencyLimit::new(&LIMITS), Instant::now());
            observe(&mut limit, &mut now, Duration::from_millis(millis));
            assert_eq!(limit.limit(), expected, "{millis} ms");
            // Until it is fast again.
            now += 2 * WINDOW;
            observe(&mut limit, &mut now, Duration::from_millis(2));
            assert_eq!(limit.limit(), 3, "after {millis} ms");
        }
    }
}

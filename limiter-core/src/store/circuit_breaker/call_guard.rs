//! Guard of one call: reports to the circuit breaker how the call has ended.

use std::{sync::atomic::Ordering, time::Instant};

use super::{CircuitBreaker, LAG};
use crate::error::StoreError;
#[cfg(feature = "_shared")]
use crate::store::runtime_lag::RuntimeLag;

/// A call that is on its way. Dropped before it ends, it says nothing about the
/// server.
#[must_use = "say how the call ended"]
pub(crate) struct CallGuard<'a> {
    pub(super) breaker: &'a CircuitBreaker,
    pub(super) sent: Instant,
    #[cfg(feature = "_shared")]
    pub(super) lag: &'a RuntimeLag,
}

impl CallGuard<'_> {
    /// Notes that the server has answered. An answer that took longer than the
    /// timeout is a failure.
    pub(crate) fn succeeded(self) {
        let (breaker, now) = (self.breaker, Instant::now());
        breaker.note_answer(now);
        let took = now - self.sent;
        if took > breaker.timeout + LAG && !self.is_lagging() {
            breaker.calls.failed(took);
            let error = StoreError::new(format!("it answered after {took:?}"));
            breaker.failed(self.sent, now, &error);
            return;
        }
        breaker.calls.answered(took);
        if !breaker.calm.load(Ordering::Relaxed) {
            breaker.succeeded_after_failures(now);
        }
    }

    /// Notes that the call has failed. Returns whether that is a failure of the
    /// server: it is none where this process lags, or where the call was not made.
    pub(crate) fn failed(self, error: &StoreError) -> bool {
        let (breaker, now) = (self.breaker, Instant::now());
        if error.is_uncalled() {
            return false;
        }
        let took = now - self.sent;
        breaker.calls.failed(took);
        let is_late = took * 4 >= breaker.timeout * 3;
        if !is_late {
            breaker.note_answer(now);
        }
        // Without any answer for long, it is the server after all.
        let silent = now.saturating_duration_since(breaker.last_answer());
        let lags = took > breaker.timeout + LAG || self.is_lagging();
        if is_late && lags && silent < 10 * breaker.timeout {
            return false;
        }
        breaker.failed(self.sent, now, error);
        true
    }

    /// Returns true if this process has been too slow, within the time of a call, to say
    /// that the server is.
    fn is_lagging(&self) -> bool {
        #[cfg(feature = "_shared")]
        return self.lag.has_lagged_within(self.breaker.timeout);
        #[cfg(not(feature = "_shared"))]
        false
    }
}

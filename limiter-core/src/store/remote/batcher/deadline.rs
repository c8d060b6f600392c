//! Deadlines of requests and calls. One moves while this process lags, as in a container
//! whose share of the processors is used up: where the server answers, and only this
//! process is too slow to see it in time, clients would be refused for what the server
//! has long decided.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tokio::time::timeout_at;

use super::{BatchExecutor, Inner, RETRY_AFTER};
use crate::{
    error::StoreError,
    store::{circuit_breaker::LAG, runtime_lag::RuntimeLag},
};

/// How often a deadline moves, by the timeout of a call each time.
const MAX_MOVES: u32 = 2;

/// How long it moves at least on a runtime of the application, which may be too busy to read
/// the answer. Under 2,000 connections at once a task of Rocket waited for its turn for two
/// seconds.
const LONGEST_LAG: Duration = Duration::from_secs(5);

/// The time after a deadline that a late process has to read what has come before it.
const GRACE: Duration = Duration::from_millis(5);

impl<E: BatchExecutor> Inner<E> {
    /// Waits for the answer to a request that came at `since`, or to a call that was sent
    /// then. Returns `None` if its deadline has passed.
    pub(super) async fn in_time<T>(
        &self,
        answer: impl Future<Output = T>,
        since: Instant,
        mut deadline: Instant,
    ) -> Option<T> {
        let mut answer = pin!(answer);
        let (last, mut moved) = (deadline + self.longest_move(), since);
        loop {
            if let Ok(answer) = timeout_at(deadline.into(), &mut answer).await {
                return Some(answer);
            }
            if deadline.elapsed() <= LAG && !self.is_lagging() {
                break;
            }
            let grace = Instant::now() + GRACE;
            if let Ok(answer) = timeout_at(grace.into(), &mut answer).await {
                return Some(answer);
            }
            let now = Instant::now();
            if now >= last || !self.breaker.has_answered_since(moved) {
                break;
            }
            (moved, deadline) = (now, (now + self.timeout).min(last));
        }
        None
    }

    /// Returns how far a deadline moves at most.
    fn longest_move(&self) -> Duration {
        let moves = MAX_MOVES * self.timeout;
        if self.is_on_other_runtime() { moves.max(LONGEST_LAG) } else { moves }
    }

    /// Returns the longest time of a call. On the store's thread, the executor ends calls
    /// before that. On another runtime its timers would count the time in which the runtime
    /// does something else.
    pub(super) fn call_timeout(&self) -> Duration {
        if self.is_on_other_runtime() { self.timeout } else { 2 * self.timeout }
    }

    pub(super) const fn is_on_other_runtime(&self) -> bool {
        self.lag.is_some()
    }

    /// The error of a request whose deadline has passed. Where the server has answered
    /// others since the request came, the wait for its turn was too long, or this
    /// process was too slow: no failure of the server.
    pub(super) fn expired(&self, was_sent: bool, since: Instant) -> StoreError {
        let is_overload = self.breaker.has_answered_since(since) || self.is_lagging();
        match (was_sent, is_overload) {
            (true, true) => StoreError::overloaded_in_flight(RETRY_AFTER),
            (true, false) => StoreError::new(format!("no answer within {:?}", self.timeout)),
            (false, true) => StoreError::overloaded(RETRY_AFTER),
            (false, false) => {
                StoreError::not_applied(format!("no call was answered within {:?}", self.timeout))
            }
        }
    }

    /// Returns true if the runtime has lagged within the time of a call.
    pub(super) fn is_lagging(&self) -> bool {
        self.lag().has_lagged_within(self.timeout)
    }

    /// The lag of the runtime that the calls are made on.
    pub(super) fn lag(&self) -> &RuntimeLag {
        self.lag.as_ref().unwrap_or(self.breaker.lag())
    }
}

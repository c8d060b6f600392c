//! Deadlines of requests and calls. One moves while this process lags, as in a container
//! whose share of the processors is used up: where the server answers, and only this
//! process is too slow to see it in time, clients would be refused for what the server
//! has long decided.

use std::{pin::pin, time::Instant};

use tokio::time::timeout_at;

use super::{BatchExecutor, Inner};
use crate::store::circuit_breaker::LAG;

/// How often a deadline moves, by the timeout of a call each time.
const MAX_MOVES: u32 = 2;

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
        for moves in 0.. {
            if let Ok(answer) = timeout_at(deadline.into(), &mut answer).await {
                return Some(answer);
            }
            if moves == MAX_MOVES || !self.is_late_by_itself(since, deadline) {
                break;
            }
            deadline = Instant::now() + self.timeout;
        }
        None
    }

    /// Returns true if the server has answered others since then, and this process lags.
    fn is_late_by_itself(&self, since: Instant, deadline: Instant) -> bool {
        let lags = deadline.elapsed() > LAG || self.breaker.is_lagging();
        lags && self.breaker.has_answered_since(since)
    }
}

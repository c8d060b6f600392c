//! Batcher of one server: a request that finds fewer calls in flight than the
//! server serves at its best is sent at once, with no timer. The others wait, and go
//! together in the next batch, to be decided there one after the other, as they would
//! have been alone.
//!
//! Inputs: store requests with their deadlines, the server's circuit breaker.
//! Output: the stored state before each request.
//!
//! - **Equal checks are folded**: waiting checks of the same items and cost are one
//!   entry with a number of `times`, however many there are. So are settlements that give
//!   back as many units of the same items. The server returns the state before the first;
//!   [`replay_decisions`] derives that before each other.
//! - **Waiting is fair** between clients: see [`fair_queue`].
//! - **A request that finds nothing in flight is sent by its own task**, where the batcher is
//!   on the runtime of those who ask: see [`inline_call`].
//! - **Bounded**: where there is no room, the newest request of the busiest client is
//!   refused as overload. So is one whose deadline passes in the queue or in a batch,
//!   unless the server has answered nobody meanwhile: then it is the server's failure.
//!   While this process lags, deadlines move: see [`deadline`].
//! - **The server and this process work side by side**: see [`turn`], and
//!   [`BatchLimits::in_shares`].
//! - **The number of batches in flight adapts** to the time that calls take: see
//!   [`concurrency`].
//!
//! A batch is sent by a task of its own, since a request that is dropped must not take others
//! with it.

mod batch;
mod batch_executor;
mod client_queue;
mod concurrency;
mod deadline;
mod dispatch;
mod fair_queue;
mod inline_call;
mod load;
mod other_runtime;
mod replay_decisions;
mod request_group;
mod turn;
mod worker;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

pub(in crate::store) use self::batch_executor::{BatchEntry, BatchExecutor, BatchLimits};
use self::{
    batch::Batch,
    dispatch::{State, Way},
    load::Load,
    request_group::Ticket,
    turn::{Turn, Turns},
};
use super::backend::{Reply, StoreRequest};
use crate::{
    error::StoreError,
    store::{ServerHealth, circuit_breaker::CircuitBreaker, runtime_lag::RuntimeLag},
};

/// When a request may be tried again that was refused as overload.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sends requests to one server, in batches. Clones share the queue.
pub(in crate::store) struct Batcher<E>(Arc<Inner<E>>);

struct Inner<E> {
    executor: E,
    breaker: Arc<CircuitBreaker>,
    timeout: Duration,
    runtime: Handle,
    /// The lag of the runtime, where it is not the one that the breaker's prober runs on.
    lag: Option<RuntimeLag>,
    turns: Turns,
    load: Load,
    state: Mutex<State>,
}

impl<E: BatchExecutor> Batcher<E> {
    /// A batcher whose tasks run on the runtime of the caller, as the breaker's prober
    /// does. `timeout` is the longest time that a call may take.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(in crate::store) fn new(
        executor: E,
        breaker: Arc<CircuitBreaker>,
        timeout: Duration,
    ) -> Self {
        Self::start(executor, breaker, timeout, None)
    }

    fn start(
        executor: E,
        breaker: Arc<CircuitBreaker>,
        timeout: Duration,
        lag: Option<RuntimeLag>,
    ) -> Self {
        let limits = executor.limits();
        let (runtime, state) = (Handle::current(), Mutex::new(State::new(limits)));
        let (turns, load) = (Turns::default(), Load::default());
        Self(Arc::new(Inner { executor, breaker, timeout, runtime, lag, turns, load, state }))
    }

    /// The executor of the batches.
    pub(in crate::store) fn executor(&self) -> &E {
        &self.0.executor
    }

    /// The server's circuit breaker.
    #[cfg(any(feature = "_sql", test))]
    pub(in crate::store) fn breaker(&self) -> &Arc<CircuitBreaker> {
        &self.0.breaker
    }

    /// Returns the health of the server, and the counters of the calls to it.
    pub(in crate::store) fn health(&self) -> ServerHealth {
        let mut health = self.0.breaker.health();
        health.calls.retries = self.0.executor.retries();
        health
    }

    /// Returns the state before the request, which is decided in a batch.
    ///
    /// # Errors
    /// `Unavailable` while the breaker is open; `Overloaded` if there is no room to
    /// wait, or the deadline passes before the request was sent; else the error of the
    /// call.
    pub(in crate::store) async fn run(&self, request: StoreRequest) -> Result<Reply, StoreError> {
        let inner = &self.0;
        inner.breaker.check()?;
        let _counted = inner.load.count();
        let (deadline, since) = (request.deadline, Instant::now());
        // Dropped here, where it was made: `free` on the store's thread took an eighth of it.
        let request = Arc::new(request);
        let (answer, is_sent) = match inner.enqueue(&request, since) {
            Way::Inline(call) => (inner.in_time(call, since, deadline).await, true),
            Way::Queued(Ticket { reply, mark }) => {
                let answer = inner.in_time(reply, since, deadline).await;
                let ended = |_| Err(StoreError::new("the task that sent it has ended"));
                (answer.map(|answer| answer.unwrap_or_else(ended)), mark.is_sent())
            }
        };
        answer.unwrap_or_else(|| Err(inner.expired(is_sent, since)))
    }
}

impl<E> Clone for Batcher<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: BatchExecutor> Inner<E> {
    /// Returns the most entries of the next batch.
    fn most_entries(&self) -> usize {
        let limits = self.executor.limits();
        if limits.in_shares { self.load.share(limits.min_in_flight) } else { limits.entries }
    }

    /// Calls the server, and has the breaker and the limit of concurrency learn from
    /// it. `waited` is how long the oldest request has waited.
    async fn call(
        &self,
        batch: &[BatchEntry],
        deadline: Instant,
        waited: Duration,
    ) -> Result<Vec<Reply>, StoreError> {
        let (guard, sent) = (self.breaker.start_call_on(self.lag()), Instant::now());
        self.breaker.calls().batched(batch.iter().map(|entry| u64::from(entry.times)).sum());
        let answer = match self.in_time(self.executor.execute(batch), sent, deadline).await {
            Some(Ok(replies)) if replies.len() != batch.len() => Err(unanswered()),
            Some(answer) => answer,
            None => {
                if self.is_on_other_runtime() {
                    self.executor.reconnect();
                }
                Err(StoreError::new(format!("no answer within {:?}", self.timeout)))
            }
        };
        let result = match answer {
            Ok(replies) => {
                guard.succeeded();
                Ok(replies)
            }
            Err(error) if guard.failed(&error) || error.is_uncalled() => Err(error),
            // The answer is late because this process is.
            Err(_) => Err(StoreError::overloaded_in_flight(RETRY_AFTER)),
        };
        let took = sent.elapsed();
        self.state().concurrency.observe(sent + took, took, waited, result.is_ok());
        result
    }

    /// Sends a batch, and replies to those who wait. Returns the turn of the next one.
    async fn send<'a>(&'a self, batch: Batch, turn: Option<Turn<'a>>) -> Turn<'a> {
        let sent = Instant::now();
        let waited = sent.saturating_duration_since(batch.oldest);
        let deadline = sent + self.call_timeout();
        let call = self.call(&batch.entries, deadline, waited);
        let answer = turn::give_up_in_flight(turn, call).await;
        let turn = self.turns.next().await;
        let (clients, refusals) = match answer {
            Ok(replies) => {
                let wanted = self.state().queue.has_equal(&batch);
                batch.reply(replies, &wanted, sent)
            }
            Err(error) => (batch.fail(&error), Vec::new()),
        };
        let mut state = self.state();
        for refusal in refusals {
            state.queue.answer_refused(&refusal);
        }
        state.queue.finish(&clients);
        turn
    }
}

fn unanswered() -> StoreError {
    StoreError::new("the server answered another number of requests")
}

#[cfg(test)]
mod tests;

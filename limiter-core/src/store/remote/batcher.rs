//! Batcher of one server: a request that finds fewer calls in flight than the
//! server serves at its best is sent at once, alone, with no timer. The others
//! wait, and go together in the next batch, to be decided there one after the
//! other, as they would have been alone.
//!
//! Inputs: store requests with their deadlines, the server's circuit breaker.
//! Output: the stored state before each request.
//!
//! - **Equal checks are folded**: waiting checks of the same items and cost are one
//!   entry with a number of `times`, however many there are. So are settlements that give
//!   back as many units of the same items. The server returns the state before the first;
//!   [`replay`] derives that before each other.
//! - **Waiting is fair** between clients: see [`fair_queue`].
//! - **Bounded**: where there is no room, the newest request of the busiest client is
//!   refused as overload. So is one whose deadline passes in the queue or in a batch,
//!   unless the server has answered nobody meanwhile: then it is the server's failure.
//! - **The number of batches in flight adapts** to the time that calls take: see
//!   [`concurrency`].
//!
//! A batch is sent by a task of its own, since a request that is dropped must not
//! take others with it. A request that is sent alone is sent by itself, which saves
//! two changes of tasks.

mod batch;
mod batch_executor;
mod client_queue;
mod concurrency;
mod fair_queue;
mod replay_decisions;
mod request_group;
mod worker;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    time::{timeout, timeout_at},
};

pub(in crate::store) use self::batch_executor::{BatchEntry, BatchExecutor, BatchLimits};
use self::{
    batch::Batch,
    concurrency::ConcurrencyLimit,
    fair_queue::FairQueue,
    request_group::Ticket,
    worker::{CallSlot, WorkerSlot, serve},
};
use super::backend::{Reply, StoreRequest};
use crate::{
    error::StoreError,
    store::{ServerHealth, circuit_breaker::CircuitBreaker},
};

/// When a request may be tried again that was refused as overload.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sends requests to one server, alone or in batches. Clones share the queue.
pub(in crate::store) struct Batcher<E>(Arc<Inner<E>>);

struct Inner<E> {
    executor: E,
    breaker: Arc<CircuitBreaker>,
    timeout: Duration,
    limits: BatchLimits,
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    queue: FairQueue,
    /// Calls in flight, and how many of them are made by workers. A request that makes
    /// its own may be in a task that nobody polls for a while: it takes no worker's place.
    in_flight: usize,
    workers: usize,
    concurrency: ConcurrencyLimit,
}

/// How a request goes to the server.
enum Route {
    Alone,
    Queued { ticket: Ticket, starts_worker: bool },
}

impl State {
    /// Takes a slot for one more worker, if there is one and something to send.
    fn reserve_worker(&mut self) -> bool {
        let wants = self.workers < self.concurrency.limit() && self.queue.is_ready();
        self.in_flight += usize::from(wants);
        self.workers += usize::from(wants);
        wants
    }
}

impl<E: BatchExecutor> Batcher<E> {
    /// A batcher whose tasks run on the runtime of the caller. `timeout` is the
    /// longest time that a call may take.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(in crate::store) fn new(
        executor: E,
        breaker: Arc<CircuitBreaker>,
        timeout: Duration,
    ) -> Self {
        let limits = executor.limits();
        let state = State {
            queue: FairQueue::new(limits),
            in_flight: 0,
            workers: 0,
            concurrency: ConcurrencyLimit::new(&limits),
        };
        let (runtime, state) = (Handle::current(), Mutex::new(state));
        Self(Arc::new(Inner { executor, breaker, timeout, limits, runtime, state }))
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

    /// Returns the state before the request, which is decided alone or in a batch.
    ///
    /// # Errors
    /// `Unavailable` while the breaker is open; `Overloaded` if there is no room to
    /// wait, or the deadline passes before the request was sent; else the error of the
    /// call.
    pub(in crate::store) async fn run(&self, request: StoreRequest) -> Result<Reply, StoreError> {
        let inner = &self.0;
        inner.breaker.check()?;
        let (deadline, since) = (request.deadline, Instant::now());
        let request = Arc::new(request);
        match inner.route(&request, since) {
            Route::Alone => {
                let _slot = CallSlot(inner);
                inner.call_alone(request, deadline).await
            }
            Route::Queued { ticket: Ticket { reply, mark }, starts_worker } => {
                inner.start_worker(starts_worker);
                match timeout_at(deadline.into(), reply).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) => Err(StoreError::new("the task that sent it has ended")),
                    Err(_) => Err(inner.expired(mark.is_sent(), since)),
                }
            }
        }
    }
}

impl<E: BatchExecutor> Inner<E> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot for the request, or puts it into the queue.
    fn route(&self, request: &Arc<StoreRequest>, since: Instant) -> Route {
        let mut state = self.state();
        if state.in_flight < self.limits.min_in_flight && state.queue.is_empty() {
            state.in_flight += 1;
            return Route::Alone;
        }
        let is_batchable = self.executor.is_batchable(request);
        let ticket = state.queue.push(request, is_batchable, since);
        Route::Queued { ticket, starts_worker: state.reserve_worker() }
    }

    /// Frees a slot, and starts a worker in it if anything waits.
    fn release_slot(self: &Arc<Self>) {
        let wants_worker = {
            let mut state = self.state();
            state.in_flight -= 1;
            state.reserve_worker()
        };
        self.start_worker(wants_worker);
    }

    /// Starts a reserved worker. The state is not locked here: a runtime that has
    /// ended drops the task at once.
    fn start_worker(self: &Arc<Self>, is_reserved: bool) {
        if is_reserved {
            self.runtime.spawn(serve(WorkerSlot::new(Arc::clone(self))));
        }
    }

    /// Sends one request, until its deadline.
    async fn call_alone(
        &self,
        request: Arc<StoreRequest>,
        deadline: Instant,
    ) -> Result<Reply, StoreError> {
        let entry = [BatchEntry::once(request)];
        let left = deadline.saturating_duration_since(Instant::now());
        let mut replies = self.call(&entry, left, Duration::ZERO).await?;
        replies.pop().ok_or_else(unanswered)
    }

    /// Calls the server, and has the breaker and the limit of concurrency learn from
    /// it. `waited` is how long the oldest request has waited.
    async fn call(
        &self,
        batch: &[BatchEntry],
        time_left: Duration,
        waited: Duration,
    ) -> Result<Vec<Reply>, StoreError> {
        let (guard, sent) = (self.breaker.start_call(), Instant::now());
        self.breaker.calls().batched(batch.iter().map(|entry| u64::from(entry.times)).sum());
        let answer = match timeout(time_left, self.executor.execute(batch)).await {
            Ok(Ok(replies)) if replies.len() != batch.len() => Err(unanswered()),
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new(format!("no answer within {:?}", self.timeout))),
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

    /// Sends a batch, and replies to those who wait.
    async fn send(&self, batch: Batch) {
        let sent = Instant::now();
        let waited = sent.saturating_duration_since(batch.oldest);
        let (clients, refusals) = match self.call(&batch.entries, 2 * self.timeout, waited).await {
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
    }

    /// The error of a request whose deadline has passed. Where the server has answered
    /// others since the request came, the wait for its turn was too long, or this
    /// process was too slow: no failure of the server.
    fn expired(&self, was_sent: bool, since: Instant) -> StoreError {
        let is_overload = self.breaker.has_answered_since(since) || self.breaker.is_lagging();
        match (was_sent, is_overload) {
            (true, true) => StoreError::overloaded_in_flight(RETRY_AFTER),
            (true, false) => StoreError::new(format!("no answer within {:?}", self.timeout)),
            (false, true) => StoreError::overloaded(RETRY_AFTER),
            (false, false) => {
                StoreError::not_applied(format!("no call was answered within {:?}", self.timeout))
            }
        }
    }
}

fn unanswered() -> StoreError {
    StoreError::new("the server answered another number of requests")
}

#[cfg(test)]
mod tests;

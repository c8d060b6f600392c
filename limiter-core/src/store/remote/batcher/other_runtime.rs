//! A batcher on another runtime than the store's thread: on one that serves requests, and that
//! may be kept busy.

use std::{sync::Arc, time::Duration};

use super::{BatchExecutor, Batcher};
use crate::store::{
    circuit_breaker::CircuitBreaker, remote::backend::StoreRequest, runtime_lag::RuntimeLag,
};

impl<E: BatchExecutor> Batcher<E> {
    /// The same on another runtime than the prober's, whose lag is measured, too. The executor
    /// has no timeouts of its own. If it `calls_inline`, a request may be sent by its own
    /// task: not where equal requests wait to be folded, which would wait for that task.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(in crate::store) fn on_other_runtime(
        executor: E,
        breaker: Arc<CircuitBreaker>,
        timeout: Duration,
        calls_inline: bool,
    ) -> Self {
        let lag = RuntimeLag::new();
        tokio::spawn(lag.meter().measure());
        let batcher = Self::start(executor, breaker, timeout, Some(lag));
        batcher.0.state().calls_inline = calls_inline;
        batcher
    }

    /// Returns how many requests wait or are in flight.
    pub(in crate::store) fn load(&self) -> usize {
        self.0.load.get()
    }

    /// Returns true if a request of the same [client](StoreRequest::fair_client) waits or is
    /// in flight.
    pub(in crate::store) fn has_client_of(&self, request: &StoreRequest) -> bool {
        self.load() > 0 && self.0.state().queue.has_client(request.fair_client())
    }

    /// Returns true if the runtime has lagged within that time.
    pub(in crate::store) fn has_lagged_within(&self, period: Duration) -> bool {
        self.0.lag().has_lagged_within(period)
    }

    /// Returns how many requests have got an answer, or have been given up.
    pub(in crate::store) fn finished(&self) -> u64 {
        self.0.load.finished()
    }
}

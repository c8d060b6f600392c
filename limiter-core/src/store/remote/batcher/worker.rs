//! Workers: the tasks that send batches, and the slots of calls in flight.

use std::{sync::Arc, time::Instant};

use tokio::task::yield_now;

use super::{BatchExecutor, Inner};
use crate::error::StoreError;

/// A slot of a call that a request makes itself.
pub(super) struct CallSlot<'a, E: BatchExecutor>(pub(super) &'a Arc<Inner<E>>);

impl<E: BatchExecutor> Drop for CallSlot<'_, E> {
    fn drop(&mut self) {
        self.0.release_slot();
    }
}

/// A slot of a task that sends batches.
pub(super) struct WorkerSlot<E: BatchExecutor> {
    inner: Arc<Inner<E>>,
    is_done: bool,
}

impl<E: BatchExecutor> Drop for WorkerSlot<E> {
    fn drop(&mut self) {
        self.inner.state().workers -= 1;
        if self.is_done {
            return self.inner.release_slot();
        }
        // The runtime has ended, or the executor has panicked.
        let mut state = self.inner.state();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.queue.fail_all(&StoreError::not_applied("the task that sends it has ended"));
        }
    }
}

impl<E: BatchExecutor> WorkerSlot<E> {
    pub(super) const fn new(inner: Arc<Inner<E>>) -> Self {
        Self { inner, is_done: false }
    }
}

/// Sends batches as long as anything waits.
pub(super) async fn serve<E: BatchExecutor>(mut slot: WorkerSlot<E>) {
    let inner = &slot.inner;
    loop {
        let mut batch = {
            let mut state = inner.state();
            if let Err(error) = inner.breaker.check() {
                state.queue.fail_all(&error);
            }
            if state.workers > state.concurrency.limit() {
                break;
            }
            state.queue.take_batch(Instant::now())
        };
        for waiter in batch.expired.drain(..) {
            let error = inner.expired(false, waiter.since);
            waiter.reply(Err(error));
        }
        if batch.is_empty() {
            break;
        }
        inner.send(batch).await;
        // Clients that have just got an answer may send the next request at once.
        yield_now().await;
    }
    slot.is_done = true;
}

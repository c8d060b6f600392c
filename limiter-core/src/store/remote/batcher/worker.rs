//! Workers: the tasks that send batches, each in a slot.

use std::{sync::Arc, time::Instant};

use tokio::task::yield_now;

use super::{BatchExecutor, Inner};
use crate::error::StoreError;

/// A slot of a task that sends batches.
pub(super) struct WorkerSlot<E: BatchExecutor> {
    inner: Arc<Inner<E>>,
    is_done: bool,
}

impl<E: BatchExecutor> Drop for WorkerSlot<E> {
    fn drop(&mut self) {
        if self.is_done {
            return self.inner.release_slot();
        }
        // The runtime has ended, or the executor has panicked.
        let mut state = self.inner.state();
        state.workers -= 1;
        if state.workers == 0 {
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
    let mut turn = None;
    loop {
        let batch = {
            let mut state = inner.state();
            if let Err(error) = inner.breaker.check() {
                state.queue.fail_all(&error);
            }
            if state.workers > state.concurrency.limit() {
                break;
            }
            state.queue.take_batch(Instant::now(), inner.most_entries())
        };
        if batch.is_empty() {
            break;
        }
        turn = Some(inner.send(batch, turn).await);
        // Clients that have just got an answer may send the next request at once.
        yield_now().await;
    }
    drop(turn);
    slot.is_done = true;
}

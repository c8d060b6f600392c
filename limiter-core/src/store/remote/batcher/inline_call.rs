//! Inline call: a request that finds room at the server, and nothing that waits, is sent by
//! its own task, where the batcher is on the runtime of those who ask.
//!
//! A worker would be one more task that the runtime has to run before the request is sent,
//! and another time before its answer is read: on a runtime of several threads, two of them
//! are woken for that. Measured with one check in flight with Redis: 37 µs in place of 57 on
//! two threads, and 37 in place of 41 on one.
//!
//! A call goes on without the request that it is of, as a task of its own, so that the
//! circuit breaker learns how it ends, whoever goes away. It takes no slot of a worker: a
//! request that its own task does not poll holds up its client alone. Such a task is as late
//! as one on a busy runtime, and is noted as that: its answer says nothing about the server,
//! and the runtime's requests take the store's thread for a while.

use std::{
    pin::Pin,
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_core::future::BoxFuture;
use tokio::runtime::Handle;

use super::{BatchEntry, BatchExecutor, Inner, request_group::ClientId, unanswered};
use crate::{
    error::StoreError,
    store::{
        remote::backend::{Reply, StoreRequest},
        runtime_lag::LagMeter,
    },
};

/// A call of one request, by the task that asks.
pub(super) struct InlineCall {
    call: Option<BoxFuture<'static, Result<Reply, StoreError>>>,
    runtime: Handle,
    lag: Arc<LagMeter>,
    alarm: Arc<Alarm>,
}

/// Wakes the task that asks, and remembers when.
struct Alarm {
    waker: Mutex<Waker>,
    /// The first time since the last poll.
    woken: Mutex<Option<Instant>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        lock(&self.woken).get_or_insert_with(Instant::now);
        let waker = lock(&self.waker).clone();
        waker.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The room of a call at the server, until this is dropped.
struct Room<E: BatchExecutor> {
    inner: Arc<Inner<E>>,
    client: ClientId,
}

impl InlineCall {
    /// Returns the call of a request whose client is marked as in flight.
    pub(super) fn new<E: BatchExecutor>(
        inner: &Arc<Inner<E>>,
        request: &Arc<StoreRequest>,
        client: ClientId,
    ) -> Self {
        let (runtime, lag) = (inner.runtime.clone(), inner.lag().meter());
        let alarm =
            Arc::new(Alarm { waker: Mutex::new(Waker::noop().clone()), woken: Mutex::default() });
        let entry = BatchEntry::once(Arc::clone(request));
        let room = Room { inner: Arc::clone(inner), client };
        let call = Box::pin(async move {
            let deadline = Instant::now() + room.inner.call_timeout();
            let mut replies =
                room.inner.call(slice::from_ref(&entry), deadline, Duration::ZERO).await?;
            replies.pop().ok_or_else(unanswered)
        });
        Self { call: Some(call), runtime, lag, alarm }
    }
}

impl Future for InlineCall {
    type Output = Result<Reply, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(woken) = lock(&self.alarm.woken).take() {
            self.lag.note_run(woken.elapsed());
        }
        lock(&self.alarm.waker).clone_from(context.waker());
        // Taken out, so that one that panics is not polled again.
        let Some(mut call) = self.call.take() else { return Poll::Pending };
        let waker = Waker::from(Arc::clone(&self.alarm));
        let answer = call.as_mut().poll(&mut Context::from_waker(&waker));
        self.call = Some(call).filter(|_| answer.is_pending());
        answer
    }
}

impl Drop for InlineCall {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.runtime.spawn(call);
        }
    }
}

impl<E: BatchExecutor> Drop for Room<E> {
    fn drop(&mut self) {
        self.inner.end_inline_call(self.client);
    }
}

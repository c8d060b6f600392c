//! Dispatch of requests: one goes to the server by its own task, or into the queue, with a
//! worker if one more may be at work.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Instant,
};

use super::{
    BatchExecutor, BatchLimits, Inner,
    concurrency::ConcurrencyLimit,
    fair_queue::FairQueue,
    inline_call::InlineCall,
    request_group::{ClientId, Ticket},
    worker::{WorkerSlot, serve},
};
use crate::store::remote::{backend::StoreRequest, operation::Operation};

/// The requests that wait for the server, and those that are on their way to it.
pub(super) struct State {
    pub(super) queue: FairQueue,
    /// Tasks that send batches, one after the other.
    pub(super) workers: usize,
    /// True if a request may be sent by its own task.
    pub(super) calls_inline: bool,
    /// Calls of requests by their own tasks.
    pub(super) inline_calls: usize,
    pub(super) concurrency: ConcurrencyLimit,
}

/// The way of a request to the server.
pub(super) enum Way {
    Inline(InlineCall),
    Queued(Ticket),
}

impl State {
    pub(super) fn new(limits: BatchLimits) -> Self {
        let (queue, concurrency) = (FairQueue::new(limits), ConcurrencyLimit::new(&limits));
        Self { queue, workers: 0, calls_inline: false, inline_calls: 0, concurrency }
    }

    /// Takes a slot for one more worker, if there is one and something to send.
    fn reserve_worker(&mut self) -> bool {
        let wants = self.workers < self.concurrency.limit() && self.queue.is_ready();
        self.workers += usize::from(wants);
        wants
    }

    /// Takes room for an inline call, if there is some and nothing waits. A settlement has
    /// none: its task may do something else before it reads the answer.
    fn reserve_inline_call(&mut self, request: &StoreRequest) -> Option<ClientId> {
        let in_flight = self.workers + self.inline_calls;
        let is_settlement = matches!(request.operation, Operation::Settle);
        if !self.calls_inline || is_settlement || in_flight >= self.concurrency.limit() {
            return None;
        }
        if self.queue.is_ready() {
            return None;
        }
        let client = self.queue.start_inline_call(request)?;
        self.inline_calls += 1;
        Some(client)
    }
}

impl<E: BatchExecutor> Inner<E> {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the request by its own task, or puts it into the queue and has a worker send it
    /// if one more may.
    pub(super) fn enqueue(self: &Arc<Self>, request: &Arc<StoreRequest>, since: Instant) -> Way {
        let is_batchable = self.executor.is_batchable(request);
        let (ticket, starts_worker) = {
            let mut state = self.state();
            if let Some(client) = state.reserve_inline_call(request) {
                drop(state);
                return Way::Inline(InlineCall::new(self, request, client));
            }
            let ticket = state.queue.push(request, is_batchable, since);
            (ticket, state.reserve_worker())
        };
        self.start_worker(starts_worker);
        Way::Queued(ticket)
    }

    /// Frees the room of an inline call, and starts a worker if its client waits.
    pub(super) fn end_inline_call(self: &Arc<Self>, client: ClientId) {
        let wants_worker = {
            let mut state = self.state();
            state.inline_calls -= 1;
            state.queue.finish(&[client]);
            state.reserve_worker()
        };
        self.start_worker(wants_worker);
    }

    /// Frees a slot, and starts a worker in it if anything waits.
    pub(super) fn release_slot(self: &Arc<Self>) {
        let wants_worker = {
            let mut state = self.state();
            state.workers -= 1;
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
}

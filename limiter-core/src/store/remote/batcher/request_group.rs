//! A group of equal requests of one client, and those who wait for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::oneshot;

use crate::{
    error::StoreError,
    store::remote::backend::{Reply, StoreRequest},
};

/// A client's keyed hash.
pub(super) type ClientId = u64;

/// Equal requests.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) request: Arc<StoreRequest>,
    pub(super) is_batchable: bool,
    pub(super) waiters: VecDeque<Waiter>,
    /// The number of the next waiter.
    next: usize,
    /// The waiters below that number were sent.
    sent: Arc<AtomicUsize>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    number: usize,
    pub(super) request: Arc<StoreRequest>,
    reply: Responder,
    pub(super) since: Instant,
}

pub(super) type Responder = oneshot::Sender<Result<Reply, StoreError>>;

/// The future reply of a request that waits.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) reply: oneshot::Receiver<Result<Reply, StoreError>>,
    pub(super) mark: SentMark,
}

/// Shows if a request was sent.
#[derive(Debug)]
pub(super) struct SentMark {
    number: usize,
    sent: Arc<AtomicUsize>,
}

impl SentMark {
    pub(super) fn is_sent(&self) -> bool {
        self.number < self.sent.load(Ordering::Relaxed)
    }
}

impl Group {
    pub(super) fn new(request: Arc<StoreRequest>, is_batchable: bool) -> Self {
        Self { request, is_batchable, waiters: VecDeque::new(), next: 0, sent: Arc::default() }
    }

    /// Adds a request. Returns the mark that shows if it was sent.
    pub(super) fn push(
        &mut self,
        request: &Arc<StoreRequest>,
        reply: Responder,
        since: Instant,
    ) -> SentMark {
        let number = self.next;
        self.next += 1;
        let request = Arc::clone(request);
        self.waiters.push_back(Waiter { number, request, reply, since });
        SentMark { number, sent: Arc::clone(&self.sent) }
    }

    /// Takes up to `times` requests that somebody still waits for.
    pub(super) fn take(&mut self, times: u32) -> Vec<Waiter> {
        let mut live = Vec::new();
        let mut sent = 0;
        while live.len() < times as usize
            && let Some(waiter) = self.waiters.pop_front()
        {
            if !waiter.reply.is_closed() {
                sent = waiter.number + 1;
                live.push(waiter);
            }
        }
        self.sent.fetch_max(sent, Ordering::Relaxed);
        live
    }
}

impl Waiter {
    /// Sends the answer. Nobody may be waiting any more.
    pub(super) fn reply(self, answer: Result<Reply, StoreError>) {
        drop(self.request);
        let _ = self.reply.send(answer);
    }
}

//! A batch: entries that go to the server together, and the requests that wait for each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    BatchEntry, BatchLimits,
    replay_decisions::Replay,
    request_group::{ClientId, Group, Waiter},
};
use crate::{
    error::StoreError,
    store::remote::backend::{Reply, StoreRequest},
};

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) entries: Vec<BatchEntry>,
    /// The requests that wait for each entry.
    pub(super) waiters: Vec<EntryWaiters>,
    /// The clients of the entries, each once.
    pub(super) clients: Vec<ClientId>,
    /// When its oldest request began to wait.
    pub(super) oldest: Instant,
    /// Quotas of the entries, but for the first.
    quotas: usize,
    takes_more: bool,
}

/// The requests that wait for an entry: each for one of its times, in order.
#[derive(Debug)]
pub(super) struct EntryWaiters {
    pub(super) client: ClientId,
    waiters: Vec<Waiter>,
}

/// A refusal that answers equal requests, too, as long as it holds.
#[derive(Debug)]
pub(super) struct FixedRefusal {
    pub(super) client: ClientId,
    pub(super) request: Arc<StoreRequest>,
    pub(super) reply: Reply,
    pub(super) until: Instant,
}

impl Batch {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            entries: Vec::new(),
            waiters: Vec::new(),
            clients: Vec::new(),
            oldest: now,
            quotas: 0,
            takes_more: true,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_full(&self, limits: &BatchLimits) -> bool {
        !self.takes_more || self.entries.len() >= limits.entries
    }

    /// Returns true if there is room for a group. There is for the first, whatever it is.
    pub(super) fn fits(&self, group: &Group, limits: &BatchLimits) -> bool {
        let quotas = self.quotas + group.request.quotas();
        self.is_empty() || group.is_batchable && quotas <= limits.quotas
    }

    /// Adds an entry that these wait for.
    pub(super) fn add(
        &mut self,
        client: ClientId,
        group: &Group,
        waiters: Vec<Waiter>,
        is_first_of_client: bool,
    ) {
        if !self.is_empty() {
            self.quotas += group.request.quotas();
        }
        if is_first_of_client {
            self.clients.push(client);
        }
        if let Some(first) = waiters.first() {
            self.oldest = self.oldest.min(first.since);
        }
        let requests: Vec<_> = waiters.iter().map(|waiter| Arc::clone(&waiter.request)).collect();
        let entry = match requests.split_first() {
            // To look several times is to look once.
            Some((first, further)) if !first.is_look() => BatchEntry::of(first, further),
            _ => BatchEntry::once(Arc::clone(&group.request)),
        };
        self.entries.push(entry);
        self.waiters.push(EntryWaiters { client, waiters });
        self.takes_more = group.is_batchable;
    }

    /// Replies to all who wait, entries of few before those of many, and returns the
    /// refusals among them that answer equal requests. `wanted` says of which entries.
    pub(super) fn reply(
        self,
        replies: Vec<Reply>,
        wanted: &[bool],
        sent: Instant,
    ) -> (Vec<ClientId>, Vec<FixedRefusal>) {
        let mut answers: Vec<_> =
            self.entries.into_iter().zip(self.waiters).zip(replies).zip(wanted).collect();
        answers.sort_by_key(|(((_, waiting), _), _)| waiting.waiters.len());
        let mut refusals = Vec::new();
        for (((entry, waiting), reply), is_wanted) in answers {
            let mut replay = Replay::new(&entry, reply);
            for waiter in waiting.waiters {
                waiter.reply(Ok(replay.next()));
            }
            if *is_wanted && let Some((reply, wait)) = replay.fixed_refusal() {
                let (client, until) = (waiting.client, sent + Duration::from_micros(wait));
                let request = entry.request;
                refusals.push(FixedRefusal { client, request, reply, until });
            }
        }
        (self.clients, refusals)
    }

    /// Answers all who wait with that error.
    pub(super) fn fail(self, error: &StoreError) -> Vec<ClientId> {
        for waiter in self.waiters.into_iter().flat_map(|entry| entry.waiters) {
            waiter.reply(Err(error.clone()));
        }
        self.clients
    }
}

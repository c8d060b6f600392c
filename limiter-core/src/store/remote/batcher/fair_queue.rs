//! Fair queue: requests that wait for one server, in turns between clients.
//!
//! Each client has a queue of its own. A batch takes one entry of each client that is
//! ready, in the order in which they became ready, then a second one of each, and so on
//! while there is room. A client is not ready while entries of it are in flight, so that
//! its requests meet each other here and not at a lock of the server. So a client with
//! many requests delays another's first by one round trip at most.
//!
//! Clients are distinguished by a keyed hash; two that collide take turns as one.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Instant,
};

use tokio::sync::oneshot;

use super::{
    BatchEntry, BatchLimits, RETRY_AFTER,
    batch::{Batch, EntryWaiters, FixedRefusal},
    client_queue::{ClientQueue, Taken},
    request_group::{ClientId, Ticket},
};
use crate::{error::StoreError, store::remote::backend::StoreRequest};

/// The number of requests that may wait.
const CAPACITY: usize = 16_384;

#[derive(Debug)]
pub(super) struct FairQueue {
    limits: BatchLimits,
    hasher: RandomState,
    clients: HashMap<ClientId, ClientQueue>,
    /// Clients with requests of which none is in flight, each once.
    ready: VecDeque<ClientId>,
    waiting: usize,
    /// Clients by the number of their waiting requests.
    busiest: BTreeSet<(usize, ClientId)>,
}

impl FairQueue {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            hasher: RandomState::new(),
            clients: HashMap::new(),
            ready: VecDeque::new(),
            waiting: 0,
            busiest: BTreeSet::new(),
        }
    }

    /// Returns true if a batch can be taken.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns true if a request of that client waits or is in flight.
    pub(super) fn has_client(&self, client: &str) -> bool {
        self.clients.contains_key(&self.hasher.hash_one(client))
    }

    /// Puts a request behind those of its client. If there is no room, the newest
    /// request of the busiest client is refused, which may be this one.
    pub(super) fn push(
        &mut self,
        request: &Arc<StoreRequest>,
        is_batchable: bool,
        since: Instant,
    ) -> Ticket {
        let id = self.hasher.hash_one(request.fair_client());
        let (reply, receiver) = oneshot::channel();
        let client = self.clients.entry(id).or_default();
        if client.waiting == 0 && !client.is_in_flight {
            self.ready.push_back(id);
        }
        let mark = client.push(request, is_batchable, reply, since);
        let waiting = client.waiting;
        self.count(id, waiting - 1, waiting);
        if self.waiting > CAPACITY {
            self.refuse_newest_of_busiest();
        }
        Ticket { reply: receiver, mark }
    }

    /// Marks the client of a request as in flight, if it has no other request.
    pub(super) fn start_inline_call(&mut self, request: &StoreRequest) -> Option<ClientId> {
        let id = self.hasher.hash_one(request.fair_client());
        let Entry::Vacant(client) = self.clients.entry(id) else { return None };
        client.insert(ClientQueue::default()).is_in_flight = true;
        Some(id)
    }

    /// Notes that a client has so many waiting requests instead of so many.
    fn count(&mut self, id: ClientId, before: usize, after: usize) {
        self.waiting = self.waiting + after - before;
        self.busiest.remove(&(before, id));
        if after > 0 {
            self.busiest.insert((after, id));
        }
    }

    fn refuse_newest_of_busiest(&mut self) {
        let Some(&(waiting, id)) = self.busiest.last() else { return };
        let Some(client) = self.clients.get_mut(&id) else { return };
        if let Some(waiter) = client.pop_newest() {
            waiter.reply(Err(StoreError::overloaded(RETRY_AFTER)));
        }
        let left = client.waiting;
        self.count(id, waiting, left);
    }

    /// Takes the next batch, of so many entries at most: one entry of each ready client in
    /// turn, as often as there is room.
    pub(super) fn take_batch(&mut self, now: Instant, entries: usize) -> Batch {
        let limits = BatchLimits { entries: entries.min(self.limits.entries), ..self.limits };
        let mut batch = Batch::new(now);
        let mut turns = std::mem::take(&mut self.ready);
        let mut left_out = VecDeque::new();
        while let Some(id) = turns.pop_front() {
            if batch.is_full(&limits) {
                left_out.push_back(id);
                continue;
            }
            match self.take_entry(id, &mut batch) {
                Taken::Entry => turns.push_back(id),
                Taken::NoRoom => left_out.push_back(id),
                Taken::Nothing => {}
            }
        }
        // Clients with an entry in the batch are in flight now.
        left_out.retain(|id| self.clients.get(id).is_some_and(|client| !client.is_in_flight));
        self.ready = left_out;
        batch
    }

    fn take_entry(&mut self, id: ClientId, batch: &mut Batch) -> Taken {
        let Some(client) = self.clients.get_mut(&id) else { return Taken::Nothing };
        let before = client.waiting;
        let taken = client.take_entry(id, &self.limits, batch);
        let (after, is_idle) = (client.waiting, client.is_idle());
        if is_idle {
            self.clients.remove(&id);
        }
        self.count(id, before, after);
        taken
    }

    /// Notes that entries of these clients are in flight no more.
    pub(super) fn finish(&mut self, clients: &[ClientId]) {
        for id in clients {
            let Some(client) = self.clients.get_mut(id) else { continue };
            client.is_in_flight = false;
            if client.is_idle() {
                self.clients.remove(id);
            } else {
                self.ready.push_back(*id);
            }
        }
    }

    /// Returns for each entry of the batch if an equal request waits behind it.
    pub(super) fn has_equal(&self, batch: &Batch) -> Vec<bool> {
        let entries = batch.entries.iter().zip(&batch.waiters);
        let waits = |(entry, waiters): (&BatchEntry, &EntryWaiters)| {
            let client = self.clients.get(&waiters.client);
            client.is_some_and(|client| client.has_equal(&entry.request))
        };
        entries.map(waits).collect()
    }

    /// Answers the requests that wait behind a refusal and are refused by it, too.
    pub(super) fn answer_refused(&mut self, refusal: &FixedRefusal) {
        let id = refusal.client;
        let Some(client) = self.clients.get_mut(&id) else { return };
        let before = client.waiting;
        while refusal.until > Instant::now()
            && let Some(waiters) = client.take_equal(&refusal.request)
        {
            for waiter in waiters {
                waiter.reply(Ok(refusal.reply.clone()));
            }
        }
        let after = client.waiting;
        self.count(id, before, after);
    }

    /// Answers all requests that wait with that error.
    pub(super) fn fail_all(&mut self, error: &StoreError) {
        self.ready.clear();
        self.busiest.clear();
        self.waiting = 0;
        for client in self.clients.values_mut() {
            for waiter in client.drain() {
                waiter.reply(Err(error.clone()));
            }
        }
        self.clients.retain(|_, client| client.is_in_flight);
    }
}

//! Batchers of the runtimes that ask. In calm, a request is sent by the thread that asks,
//! over connections that its runtime has to itself, and the answer is read there: no other
//! thread is woken on the way. Measured on Redis with 64 checks in flight from one thread:
//! 215,000 a second, beside 125,000 over the connection of the store's thread.
//!
//! Redis runs scripts so, and PostgreSQL and MySQL what their fast paths send at once. A
//! transaction of several round trips would hold its locks for as long as its runtime is busy.
//!
//! Everything else takes the store's thread ([`store_thread`]), which reads its answers
//! whatever the runtimes do:
//!
//! - requests beyond [`MAX_LOAD`] of a runtime at a time, as in a storm,
//! - those of a client that has one under way there; and on a runtime that does not
//!   [fold](RuntimeExecutor::folds), of one that has any under way: the store's thread folds
//!   equal checks into one, side by side with the thread that asks (510,000 checks of one key
//!   a second, beside 270,000, on Redis), and it is an attacker more often than not,
//! - those of a runtime that has [lagged](crate::store::runtime_lag::RuntimeLag) within a second, because something
//!   keeps its threads busy,
//! - those of a runtime that has sent fewer than [`WARM_UP`], or whose connection is away,
//! - all of them once a call has failed, until many have succeeded: a runtime that was too
//!   busy to read an answer is no witness against the server.
//!
//! Probes and all that is rare are the store thread's, too. Runtimes
//! share nothing but the circuit breaker, so that one that is busy holds up no other: each
//! worker of actix-web is a runtime.
//!
//! [`store_thread`]: super::store_thread

use std::{
    sync::{
        Arc, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{self, Handle},
    sync::Notify,
    time::sleep,
};

use super::{
    backend::{Reply, StoreRequest},
    batcher::{BatchExecutor, Batcher},
};
use crate::{error::StoreError, store::circuit_breaker::CircuitBreaker};

/// Sends the batches of one runtime, over connections that belong to it.
pub(in crate::store) trait RuntimeExecutor: BatchExecutor {
    /// Returns true if the request may be sent by a runtime.
    fn takes(request: &StoreRequest) -> bool;

    /// Returns true if equal checks are folded by its runtime: another thread of it serves
    /// those that ask meanwhile.
    fn folds(&self) -> bool;

    /// Returns whether there is a connection now.
    fn is_connected(&self) -> bool;

    /// Returns whether the runtime has ended, or has no I/O.
    fn has_ended(&self) -> bool;
}

/// Starts to connect on the runtime of the caller; `None` where it may not have a connection.
type MakeExecutor<E> = Box<dyn Fn() -> Option<E> + Send + Sync>;

/// The most requests of one runtime at a time that go over its own connection.
const MAX_LOAD: usize = 64;

/// The requests of a runtime before it gets a connection: a runtime that comes and goes gets
/// none.
const WARM_UP: u32 = 64;

/// The most runtimes with a connection of their own.
const MAX_RUNTIMES: usize = 64;

/// A runtime that has lagged within that time takes the store's thread.
const LAG_PERIOD: Duration = Duration::from_secs(1);

/// A runtime that has answered nothing for that time, while it was asked, is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The batchers of the runtimes that ask one server.
pub(in crate::store) struct RuntimeBatchers<E> {
    make_executor: MakeExecutor<E>,
    breaker: Arc<CircuitBreaker>,
    /// The runtime of the store's thread.
    store_thread: Handle,
    entries: RwLock<Vec<Arc<Entry<E>>>>,
}

/// A runtime that asks.
struct Entry<E> {
    runtime: runtime::Id,
    requests: AtomicU32,
    batcher: OnceLock<Batcher<E>>,
    /// True while its threads have answered nothing for long.
    is_stuck: AtomicBool,
    got_stuck: Notify,
}

/// The batcher of a runtime, with its entry.
pub(in crate::store) struct RuntimeBatcher<E> {
    entry: Arc<Entry<E>>,
    batcher: Batcher<E>,
}

impl<E: RuntimeExecutor> RuntimeBatchers<E> {
    /// Keeps the batchers of all runtimes but that of the caller.
    pub(in crate::store) fn new(
        breaker: Arc<CircuitBreaker>,
        make_executor: impl Fn() -> Option<E> + Send + Sync + 'static,
    ) -> Self {
        let (make_executor, store_thread) = (Box::new(make_executor), Handle::current());
        Self { make_executor, breaker, store_thread, entries: RwLock::default() }
    }

    /// Returns the batcher of the caller's runtime, if the request is to go that way rather
    /// than by the batcher of the store's thread.
    pub(in crate::store) fn of_caller(
        &self,
        request: &StoreRequest,
        of_store: &Batcher<impl BatchExecutor>,
    ) -> Option<RuntimeBatcher<E>> {
        let runtime = Handle::try_current().ok()?.id();
        if runtime == self.store_thread.id() || !E::takes(request) {
            return None;
        }
        let entry = self.entry(runtime)?;
        let Some(batcher) = entry.batcher.get().cloned() else {
            self.warm_up(&entry);
            return None;
        };
        let takes = self.breaker.is_calm()
            && !entry.is_stuck.load(Ordering::Relaxed)
            && is_usable(&batcher)
            && (batcher.executor().folds() || !batcher.has_client_of(request))
            && !of_store.has_client_of(request);
        takes.then_some(RuntimeBatcher { entry, batcher })
    }

    /// Makes the connections of all runtimes anew.
    pub(in crate::store) fn reconnect(&self) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        for batcher in entries.iter().filter_map(|entry| entry.batcher.get()) {
            batcher.executor().reconnect();
        }
    }

    /// Returns the entry of a runtime, which is made if there is room.
    fn entry(&self, runtime: runtime::Id) -> Option<Arc<Entry<E>>> {
        let find = |entries: &[Arc<Entry<E>>]| {
            entries.iter().find(|entry| entry.runtime == runtime).cloned()
        };
        {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            let known = find(&entries);
            if known.is_some() || is_full(&entries) {
                return known;
            }
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = find(&entries) {
            return Some(entry);
        }
        entries.retain(|entry| !entry.has_ended());
        if entries.len() == MAX_RUNTIMES {
            // Those that have come and gone look like those that ask seldom.
            entries.retain(|entry| entry.batcher.get().is_some());
        }
        if entries.len() == MAX_RUNTIMES {
            return None;
        }
        let entry = Arc::new(Entry::new(runtime));
        entries.push(Arc::clone(&entry));
        Some(entry)
    }

    /// Counts a request of a runtime without a batcher, and makes it one once it is worth
    /// it. One that may not have a connection yet asks again later.
    fn warm_up(&self, entry: &Arc<Entry<E>>) {
        if !(entry.requests.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(WARM_UP) {
            return;
        }
        let Some(executor) = (self.make_executor)() else { return };
        let (breaker, timeout) = (Arc::clone(&self.breaker), self.breaker.timeout());
        let calls_inline = !executor.folds();
        let batcher = Batcher::on_other_runtime(executor, breaker, timeout, calls_inline);
        if entry.batcher.set(batcher).is_ok() {
            self.store_thread.spawn(watch(Arc::downgrade(entry)));
        }
    }
}

impl<E: RuntimeExecutor> Entry<E> {
    fn new(runtime: runtime::Id) -> Self {
        let (requests, batcher) = (AtomicU32::new(0), OnceLock::new());
        let (is_stuck, got_stuck) = (AtomicBool::new(false), Notify::new());
        Self { runtime, requests, batcher, is_stuck, got_stuck }
    }

    /// Returns true if the runtime of its batcher has ended.
    fn has_ended(&self) -> bool {
        self.batcher.get().is_some_and(|batcher| batcher.executor().has_ended())
    }
}

impl<E: RuntimeExecutor> RuntimeBatcher<E> {
    /// Returns the state before the request, which is decided in a batch.
    ///
    /// # Errors
    /// Those of a batcher. A request whose own thread waits for it, asleep, keeps its runtime
    /// from reading the answer, and even from seeing its deadline: it ends as overload.
    pub(in crate::store) async fn run(&self, request: StoreRequest) -> Result<Reply, StoreError> {
        tokio::select! {
            biased;
            answer = self.batcher.run(request) => answer,
            () = self.entry.got_stuck.notified() => Err(StoreError::overloaded_in_flight(LAG_PERIOD)),
        }
    }
}

/// Watches a runtime from the store's thread, until it ends.
async fn watch<E: RuntimeExecutor>(entry: Weak<Entry<E>>) {
    let mut finished_before = None;
    loop {
        sleep(STUCK_AFTER).await;
        let Some(entry) = entry.upgrade().filter(|entry| !entry.has_ended()) else { return };
        let Some(batcher) = entry.batcher.get() else { return };
        let finished = (batcher.load() > 0).then(|| batcher.finished());
        // For good: what blocks a thread of it once does so again, for as long.
        if finished.is_some() && finished == finished_before {
            entry.is_stuck.store(true, Ordering::Relaxed);
        }
        if entry.is_stuck.load(Ordering::Relaxed) {
            entry.got_stuck.notify_waiters();
        }
        finished_before = finished;
    }
}

/// Returns true if there is no room, and none can be made.
fn is_full<E: RuntimeExecutor>(entries: &[Arc<Entry<E>>]) -> bool {
    let stays = |entry: &Arc<Entry<E>>| entry.batcher.get().is_some() && !entry.has_ended();
    entries.len() == MAX_RUNTIMES && entries.iter().all(stays)
}

/// Returns true if the runtime keeps up, and the server is connected. (A runtime may have the
/// id of one that has ended.)
fn is_usable<E: RuntimeExecutor>(batcher: &Batcher<E>) -> bool {
    let executor = batcher.executor();
    batcher.load() < MAX_LOAD
        && executor.is_connected()
        && !executor.has_ended()
        && !batcher.has_lagged_within(LAG_PERIOD)
}

//! Batchers of the runtimes that ask. In calm, a request is sent by the thread that asks,
//! over a connection that its runtime has to itself, and the answer is read there: no other
//! thread is woken on the way. Measured with 64 checks in flight from one thread: 215,000 a
//! second, beside 125,000 over the connection of the store's thread.
//!
//! Everything else takes the store's thread ([`store_thread`]), which reads its answers
//! whatever the runtimes do:
//!
//! - requests beyond [`MAX_LOAD`] of a runtime at a time, as in a storm,
//! - those of a client that has one under way already: the store's thread folds equal checks
//!   into one, side by side with the thread that asks (510,000 checks of one key a second,
//!   beside 270,000), and it is an attacker more often than not,
//! - those of a runtime that has [lagged](RuntimeLag) within a second, because something
//!   keeps its threads busy,
//! - those of a runtime that has sent fewer than [`WARM_UP`], or whose connection is away,
//! - all of them once a call has failed, until many have succeeded: a runtime that was too
//!   busy to read an answer is no witness against the server.
//!
//! Probes, looks at a cluster and all that is rare are the store thread's, too. Runtimes
//! share nothing but the circuit breaker, so that one that is busy holds up no other: each
//! worker of actix-web is a runtime.
//!
//! [`store_thread`]: crate::store::remote::store_thread
//! [`RuntimeLag`]: crate::store::runtime_lag::RuntimeLag

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
    connection::{Connection, Source},
    script_runner::ScriptRunner,
    scripts::is_scripted,
};
use crate::{
    error::StoreError,
    store::{
        circuit_breaker::CircuitBreaker,
        remote::{
            backend::{Reply, StoreRequest},
            batcher::Batcher,
        },
    },
};

/// The batcher of one runtime, or of the store's thread.
pub(super) type RedisBatcher = Batcher<Arc<ScriptRunner>>;

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
pub(super) struct RuntimeBatchers {
    source: Source,
    breaker: Arc<CircuitBreaker>,
    /// The runtime of the store's thread.
    store_thread: Handle,
    entries: RwLock<Vec<Arc<Entry>>>,
}

/// A runtime that asks.
struct Entry {
    runtime: runtime::Id,
    requests: AtomicU32,
    batcher: OnceLock<RedisBatcher>,
    /// True while its threads have answered nothing for long.
    is_stuck: AtomicBool,
    got_stuck: Notify,
}

/// The batcher of a runtime, with its entry.
pub(super) struct RuntimeBatcher {
    entry: Arc<Entry>,
    batcher: RedisBatcher,
}

impl RuntimeBatchers {
    /// Keeps the batchers of all runtimes but that of the caller.
    pub(super) fn new(source: Source, breaker: Arc<CircuitBreaker>) -> Self {
        let store_thread = Handle::current();
        Self { source, breaker, store_thread, entries: RwLock::default() }
    }

    /// Returns the batcher of the caller's runtime, if the request is to go that way. `runner`
    /// is the one of the store's thread.
    pub(super) fn of_caller(
        &self,
        request: &StoreRequest,
        runner: &ScriptRunner,
    ) -> Option<RuntimeBatcher> {
        let runtime = Handle::try_current().ok()?.id();
        if runtime == self.store_thread.id() || !is_scripted(request.operation) {
            return None;
        }
        let entry = self.entry(runtime)?;
        let Some(batcher) = entry.batcher.get().cloned() else {
            self.warm_up(&entry, runner);
            return None;
        };
        let takes = self.breaker.is_calm()
            && !entry.is_stuck.load(Ordering::Relaxed)
            && is_usable(&batcher)
            && !batcher.has_client_of(request);
        takes.then_some(RuntimeBatcher { entry, batcher })
    }

    /// Returns the batchers there are.
    pub(super) fn all(&self) -> Vec<RedisBatcher> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter_map(|entry| entry.batcher.get().cloned()).collect()
    }

    /// Returns the entry of a runtime, which is made if there is room.
    fn entry(&self, runtime: runtime::Id) -> Option<Arc<Entry>> {
        let find =
            |entries: &[Arc<Entry>]| entries.iter().find(|entry| entry.runtime == runtime).cloned();
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
    /// it.
    fn warm_up(&self, entry: &Arc<Entry>, runner: &ScriptRunner) {
        if entry.requests.fetch_add(1, Ordering::Relaxed) + 1 != WARM_UP {
            return;
        }
        let timeout = self.breaker.timeout();
        let connection = Connection::start(self.source.clone(), timeout, None);
        let runner = Arc::new(runner.over(connection));
        let batcher = Batcher::on_other_runtime(runner, Arc::clone(&self.breaker), timeout);
        let _ = entry.batcher.set(batcher);
        self.store_thread.spawn(watch(Arc::downgrade(entry)));
    }
}

impl Entry {
    fn new(runtime: runtime::Id) -> Self {
        let (requests, batcher) = (AtomicU32::new(0), OnceLock::new());
        let (is_stuck, got_stuck) = (AtomicBool::new(false), Notify::new());
        Self { runtime, requests, batcher, is_stuck, got_stuck }
    }

    /// Returns true if the runtime of its batcher has ended.
    fn has_ended(&self) -> bool {
        self.batcher.get().is_some_and(|batcher| batcher.executor().connection().has_ended())
    }
}

impl RuntimeBatcher {
    /// Returns the state before the request, which is decided in a batch.
    ///
    /// # Errors
    /// Those of a batcher. A request whose own thread waits for it, asleep, keeps its runtime
    /// from reading the answer, and even from seeing its deadline: it ends as overload.
    pub(super) async fn run(&self, request: StoreRequest) -> Result<Reply, StoreError> {
        tokio::select! {
            biased;
            answer = self.batcher.run(request) => answer,
            () = self.entry.got_stuck.notified() => Err(StoreError::overloaded_in_flight(LAG_PERIOD)),
        }
    }
}

/// Watches a runtime from the store's thread, until it ends.
async fn watch(entry: Weak<Entry>) {
    let mut finished_before = None;
    loop {
        sleep(STUCK_AFTER).await;
        let Some(entry) = entry.upgrade().filter(|entry| !entry.has_ended()) else { return };
        let Some(batcher) = entry.batcher.get() else { return };
        let finished = (batcher.load() > 0).then(|| batcher.finished());
        let is_stuck = finished.is_some() && finished == finished_before;
        entry.is_stuck.store(is_stuck, Ordering::Relaxed);
        if is_stuck {
            entry.got_stuck.notify_waiters();
        }
        finished_before = finished;
    }
}

/// Returns true if there is no room, and none can be made.
fn is_full(entries: &[Arc<Entry>]) -> bool {
    let stays = |entry: &Arc<Entry>| entry.batcher.get().is_some() && !entry.has_ended();
    entries.len() == MAX_RUNTIMES && entries.iter().all(stays)
}

/// Returns true if the runtime keeps up, and the server is connected. (A connection has ended
/// on a runtime that lives if that has no I/O, or the id of one that has ended.)
fn is_usable(batcher: &RedisBatcher) -> bool {
    let connection = batcher.executor().connection();
    batcher.load() < MAX_LOAD
        && connection.is_connected()
        && !connection.has_ended()
        && !batcher.has_lagged_within(LAG_PERIOD)
}

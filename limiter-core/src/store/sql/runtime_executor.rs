//! The executor of batches of one runtime on a SQL database: sends what single statements can
//! charge over connections of its own, from the thread that asks.
//!
//! Input: entries of a batch. Output: the state before each. What is not charged so, and all of
//! a batch that finds no connection, goes by the [`SqlExecutor`] of the store's thread: a
//! transaction of several round trips would hold its locks for as long as the runtime is busy.
//!
//! The connections count as the pool's, of which runtimes get a half at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    time::{sleep, timeout},
};

use super::{
    Dialect,
    dialect::Charged,
    error::SqlError,
    executor::{SqlExecutor, Step, left, merge},
    fast_path::{charge, may_charge},
    pool::{IdleConnection, KEEP_ALIVE, Reserved},
};
use crate::{
    error::StoreError,
    store::remote::{
        backend::{Reply, StoreRequest},
        batcher::{BatchEntry, BatchExecutor, BatchLimits},
        runtime_batchers::RuntimeExecutor,
    },
};

/// Sends batches over the connections of one runtime.
pub(in crate::store) struct SqlRuntimeExecutor<D: Dialect> {
    store: Arc<SqlExecutor<D>>,
    connections: Arc<Connections<D>>,
    /// The task that makes connections, which ends with the runtime.
    task: Weak<Keeper<D>>,
    has_threads: bool,
}

struct Connections<D: Dialect> {
    dialect: Arc<D>,
    /// How many there are to be.
    size: usize,
    idle: Mutex<Vec<(IdleConnection<D::Connection>, Token)>>,
    /// Each connection has a clone, idle or in use.
    token: Token,
}

type Token = Arc<()>;

impl<D: Dialect> SqlRuntimeExecutor<D> {
    /// Starts to connect, on the runtime of the caller: one connection keeps one thread busy.
    /// `None` if runtimes have got all connections that they may.
    pub(super) fn start(store: &Arc<SqlExecutor<D>>) -> Option<Self> {
        let has_threads = Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread;
        let reserved = store.pool().reserve(if has_threads { 2 } else { 1 })?;
        let connections = Arc::new(Connections {
            dialect: store.pool().dialect(),
            size: reserved.size(),
            idle: Mutex::default(),
            token: Arc::default(),
        });
        let keeper =
            Arc::new(Keeper { connections: Arc::downgrade(&connections), _reserved: reserved });
        let task = Arc::downgrade(&keeper);
        tokio::spawn(keep_connected(keeper));
        Some(Self { store: Arc::clone(store), connections, task, has_threads })
    }

    /// Charges what it can over a connection, which is closed if it is of no use any more.
    async fn charge(
        &self,
        (mut connection, token): (D::Connection, Token),
        batch: &[BatchEntry],
    ) -> Result<Charged, SqlError> {
        let charged = charge(&*self.connections.dialect, &mut connection, batch).await;
        if charged.as_ref().err().is_none_or(|error| error.is_healthy) {
            self.connections.put_back(connection, token);
            if self.task.strong_count() == 0 {
                // The runtime has ended meanwhile, and its permits are the pool's again.
                self.connections.idle().clear();
            }
        }
        charged
    }
}

impl<D: Dialect> BatchExecutor for SqlRuntimeExecutor<D> {
    fn limits(&self) -> BatchLimits {
        let calls = self.connections.size;
        BatchLimits {
            min_in_flight: calls,
            max_in_flight: calls,
            max_in_flight_slow: calls,
            ..self.store.limits()
        }
    }

    fn is_batchable(&self, request: &StoreRequest) -> bool {
        self.store.is_batchable(request)
    }

    fn execute<'a>(
        &'a self,
        batch: &'a [BatchEntry],
    ) -> BoxFuture<'a, Result<Vec<Reply>, StoreError>> {
        async move {
            let Some(connection) = self.connections.take().await else {
                return self.store.execute(batch).await;
            };
            let charged = match self.charge(connection, batch).await {
                Err(error) => {
                    if error.is_closed {
                        // Where one was closed, others may be.
                        self.connections.idle().clear();
                        self.store.pool().doubt_idle();
                    }
                    if error.is_closed && error.did_nothing {
                        return self.store.execute_again(batch).await;
                    }
                    return Err(error.into());
                }
                Ok(charged) => charged,
            };
            let left = left(batch, &charged);
            if left.is_empty() {
                return Ok(charged.into_iter().flatten().collect());
            }
            let decided = self.store.execute_from(Step::Run, &left).await;
            let has_charged = left.len() < batch.len();
            let decided =
                decided.map_err(|error| if has_charged { StoreError::new(error) } else { error });
            Ok(merge(charged, decided?))
        }
        .boxed()
    }

    fn reconnect(&self) {
        self.connections.idle().clear();
    }

    fn retries(&self) -> u64 {
        // Those of the store's thread are counted there.
        0
    }
}

impl<D: Dialect> RuntimeExecutor for SqlRuntimeExecutor<D> {
    fn takes(request: &StoreRequest) -> bool {
        may_charge(request)
    }

    fn folds(&self) -> bool {
        self.has_threads
    }

    fn is_connected(&self) -> bool {
        self.connections.count() > 0
    }

    fn has_ended(&self) -> bool {
        self.task.strong_count() == 0
    }
}

impl<D: Dialect> Connections<D> {
    /// Returns how many there are, idle or in use.
    fn count(&self) -> usize {
        Arc::strong_count(&self.token) - 1
    }

    /// Takes a connection that lives, if there is one.
    async fn take(&self) -> Option<(D::Connection, Token)> {
        loop {
            let (idle, token) = self.idle().pop()?;
            if let Some(connection) = idle.alive(D::FRESH).await {
                return Some((connection, token));
            }
        }
    }

    fn put_back(&self, connection: D::Connection, token: Token) {
        self.idle().push((IdleConnection::new(connection), token));
    }

    /// Pings the connection that was not used for longest, and makes those that are missing.
    async fn keep(&self) {
        let oldest = {
            let mut idle = self.idle();
            if idle.is_empty() { None } else { Some(idle.remove(0)) }
        };
        if let Some((idle, token)) = oldest
            && let Some(connection) = idle.alive(KEEP_ALIVE).await
        {
            self.put_back(connection, token);
        }
        while self.count() < self.size {
            let connection = timeout(D::CONNECT_TIMEOUT, self.dialect.connect()).await;
            let Ok(Ok(connection)) = connection else { return };
            self.put_back(connection, Arc::clone(&self.token));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(IdleConnection<D::Connection>, Token)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hold of a runtime's task on its connections, which end with it.
struct Keeper<D: Dialect> {
    connections: Weak<Connections<D>>,
    _reserved: Reserved,
}

impl<D: Dialect> Drop for Keeper<D> {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.upgrade() {
            connections.idle().clear();
        }
    }
}

/// Makes connections, and makes them anew, until nobody asks any more.
async fn keep_connected<D: Dialect>(keeper: Arc<Keeper<D>>) {
    while let Some(connections) = keeper.connections.upgrade() {
        connections.keep().await;
        drop(connections);
        sleep(KEEP_ALIVE).await;
    }
}

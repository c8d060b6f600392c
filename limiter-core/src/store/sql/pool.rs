//! Connection pool of one database.
//!
//! Input: work for a connection. Output: its result. Work that has begun comes to its
//! end on the store's thread, even if the request that waits for it goes away, so that
//! no transaction is left half way. (sqlx's pool would lend its connections to the
//! requests.)
//!
//! A connection that the server has closed costs nobody a request: one that was idle is
//! pinged before it is used, and every second a task pings the idle ones and replaces
//! those that are gone. Work that finds its connection closed beneath it, and proves that
//! it has changed nothing, is done again by its caller.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

use super::{Dialect, TextRows, error::SqlError};
use crate::store::remote::builder::CONNECT_TIMEOUT;

/// How often idle connections are pinged.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Connections to one database.
pub(in crate::store) struct Pool<D: Dialect> {
    dialect: Arc<D>,
    size: usize,
    /// The longest time that work may take.
    timeout: Duration,
    runtime: Handle,
    permits: Arc<Semaphore>,
    /// The connections that may be reserved.
    reservable: Arc<Semaphore>,
    /// The connection that was used last is at the end, and is used next.
    idle: Mutex<Vec<IdleConnection<D::Connection>>>,
}

/// A connection that nobody uses at the moment.
pub(super) struct IdleConnection<C> {
    connection: C,
    since: Instant,
    is_doubted: bool,
}

/// Connections that somebody else opens in place of the pool, until this is dropped.
pub(super) struct Reserved {
    permits: OwnedSemaphorePermit,
    _reservable: OwnedSemaphorePermit,
}

impl Reserved {
    /// Returns how many there are.
    pub(super) fn size(&self) -> usize {
        self.permits.num_permits()
    }
}

/// Work on a connection.
pub(in crate::store) type Work<'c, T> = BoxFuture<'c, Result<T, SqlError>>;

impl<D: Dialect> Pool<D> {
    /// A pool of that many connections, which are made when they are needed.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(in crate::store) fn new(dialect: Arc<D>, size: usize, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            dialect,
            size,
            timeout,
            runtime: Handle::current(),
            permits: Arc::new(Semaphore::new(size)),
            // Of fewer than four, too few would be left for batches and the sweep.
            reservable: Arc::new(Semaphore::new(if size < 4 { 0 } else { size / 2 })),
            idle: Mutex::default(),
        })
    }

    /// Returns the longest time of a call.
    pub(in crate::store) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(in crate::store) const fn size(&self) -> usize {
        self.size
    }

    pub(super) fn dialect(&self) -> Arc<D> {
        Arc::clone(&self.dialect)
    }

    /// Reserves up to that many connections, if there are any. At least a half stays the pool's,
    /// and all of a pool of fewer than four.
    pub(super) fn reserve(&self, most: u32) -> Option<Reserved> {
        let take = |semaphore: &Arc<Semaphore>, count| {
            Arc::clone(semaphore).try_acquire_many_owned(count).ok()
        };
        let reserved = (1..=most).rev().find_map(|count| {
            let _reservable = take(&self.reservable, count)?;
            Some(Reserved { permits: take(&self.permits, count)?, _reservable })
        })?;
        let mut idle = self.idle();
        let unused = idle.len().saturating_sub(self.permits.available_permits());
        idle.drain(..unused);
        Some(reserved)
    }

    /// Starts the task that keeps connections alive. It ends with the pool.
    pub(in crate::store) fn start_keep_alive(self: &Arc<Self>) {
        self.runtime.spawn(keep_alive(Arc::downgrade(self)));
    }

    /// Drops all connections that are not in use.
    pub(in crate::store) fn clear(&self) {
        self.idle().clear();
    }

    /// Does work on a connection, unless the deadline has passed before it begins. Once it
    /// has begun, it comes to its end.
    pub(in crate::store) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Instant,
        work: impl for<'c> FnOnce(&'c D, &'c mut D::Connection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, SqlError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| SqlError::new("the pool is closed"))?;
        let pool = Arc::clone(self);
        let work = async move { pool.run_with(permit, deadline, work).await };
        self.runtime.spawn(work).await.unwrap_or_else(|_| Err(SqlError::unfinished()))
    }

    /// Runs SQL without arguments, and returns the rows of two columns.
    pub(in crate::store) async fn rows(
        self: &Arc<Self>,
        timeout: Duration,
        sql: String,
    ) -> Result<TextRows, SqlError> {
        let deadline = Instant::now() + timeout;
        let work = self.run(deadline, |_, connection| {
            async {
                let rows = D::rows(connection, sql).await;
                if matches!(rows, Err(sqlx::Error::Database(_))) {
                    // One of several statements may have left a transaction open.
                    let _ = D::rows(connection, "ROLLBACK".to_owned()).await;
                }
                rows.map_err(SqlError::from)
            }
            .boxed()
        });
        work.await
    }

    async fn run_with<T>(
        &self,
        _permit: OwnedSemaphorePermit,
        deadline: Instant,
        work: impl for<'c> FnOnce(&'c D, &'c mut D::Connection) -> Work<'c, T>,
    ) -> Result<T, SqlError> {
        // A server at which hundreds of processes start at once makes their connections
        // one by one: 2 s were too short for 60 of 208 at PostgreSQL on two cores. What has
        // long to run waits longer.
        let rest = deadline.saturating_duration_since(Instant::now());
        let mut connection = self.connection(D::CONNECT_TIMEOUT.max(rest / 3)).await?;
        let now = Instant::now();
        if now >= deadline {
            self.put_back(connection);
            return Err(SqlError::late());
        }
        let time = self.timeout.max(deadline - now);
        let Ok(result) = timeout(time, work(&self.dialect, &mut connection)).await else {
            return Err(SqlError::unfinished());
        };
        match &result {
            Err(error) if error.is_closed => self.doubt_idle(),
            Err(error) if !error.is_healthy => {}
            _ => self.put_back(connection),
        }
        result
    }

    /// Takes a connection that lives, or makes one within that time.
    async fn connection(&self, patience: Duration) -> Result<D::Connection, SqlError> {
        // Not in the condition: the lock would be held until the end of the loop.
        let mut next = self.idle().pop();
        while let Some(idle) = next {
            if let Some(connection) = idle.alive(D::FRESH).await {
                return Ok(connection);
            }
            next = self.idle().pop();
        }
        match timeout(patience, self.dialect.connect()).await {
            Ok(connection) => connection.map_err(SqlError::unconnected),
            Err(_) => Err(SqlError::new("it does not answer")),
        }
    }

    fn put_back(&self, connection: D::Connection) {
        self.idle().push(IdleConnection::new(connection));
    }

    /// Has all idle connections pinged before they are used: where one was closed, others
    /// may be.
    pub(super) fn doubt_idle(&self) {
        for idle in self.idle().iter_mut() {
            idle.is_doubted = true;
        }
    }

    /// Pings the connections that nobody has used since the last time, and makes new
    /// ones in place of those that are gone.
    async fn check_idle(&self) {
        for _ in 0..self.size {
            let Ok(_permit) = self.permits.try_acquire() else { return };
            let Some(oldest) = self.take_oldest() else { return };
            let since = oldest.since;
            let connection = match oldest.alive(KEEP_ALIVE).await {
                Some(connection) => connection,
                None => match timeout(D::CONNECT_TIMEOUT, self.dialect.connect()).await {
                    Ok(Ok(connection)) => connection,
                    _ => continue,
                },
            };
            let since = if since.elapsed() < KEEP_ALIVE { since } else { Instant::now() };
            self.idle().push(IdleConnection { connection, since, is_doubted: false });
        }
    }

    fn take_oldest(&self) -> Option<IdleConnection<D::Connection>> {
        let mut idle = self.idle();
        if idle.is_empty() { None } else { Some(idle.remove(0)) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<IdleConnection<D::Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: sqlx::Connection> IdleConnection<C> {
    pub(super) fn new(connection: C) -> Self {
        Self { connection, since: Instant::now(), is_doubted: false }
    }

    /// The connection, if it was used within that time or answers a ping.
    pub(super) async fn alive(mut self, fresh: Duration) -> Option<C> {
        let is_fresh = !self.is_doubted && self.since.elapsed() < fresh;
        let is_alive = is_fresh
            || matches!(timeout(CONNECT_TIMEOUT, self.connection.ping()).await, Ok(Ok(())));
        is_alive.then_some(self.connection)
    }
}

async fn keep_alive<D: Dialect>(pool: Weak<Pool<D>>) {
    while let Some(pool) = pool.upgrade() {
        pool.check_idle().await;
        drop(pool);
        sleep(KEEP_ALIVE).await;
    }
}

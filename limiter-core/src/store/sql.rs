//! SQL databases: what they have in common. Each is a [`Dialect`].
//!
//! Input: store requests, which go through the database's [`Batcher`] to a connection
//! of its pool, or in calm through the batcher of the runtime that asks. Output: the state
//! before each, and bans.

pub(super) mod counter_columns;
mod dialect;
mod error;
mod error_advice;
mod executor;
pub(super) mod fast_path;
mod migrate;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) mod pass_over;
mod pool;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) mod row_literals;
mod runtime_executor;
mod sweep;
pub(super) mod text_encoding;
pub(super) mod transaction;

use std::{fmt, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) use self::dialect::{join, number};
pub(super) use self::{
    dialect::{Charged, Dialect, TextRows, is_simple, name, without_comments},
    error::SqlError,
};
use self::{
    error_advice::explain, executor::SqlExecutor, pool::Pool, runtime_executor::SqlRuntimeExecutor,
};
use super::{
    circuit_breaker::CircuitBreaker,
    health::ServerHealth,
    prober::{Probe, spawn_prober},
    remote::{
        RemoteStoreBuilder,
        backend::{Backend, BanQuery, ListedBans, Reply, StoreRequest, parse_ban},
        batcher::Batcher,
        probe_check::{probe, probe_client},
        runtime_batchers::RuntimeBatchers,
        storage_key,
    },
};
use crate::{
    ban::Ban,
    error::StoreError,
    time::{Clock, Timestamp},
};

/// How long work may take that is no check: to make tables, and to try the store at the
/// start. Of 208 processes that start at once on one SQLite file each waits for the rest.
const LONG_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before another try where others hold the locks.
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// A store in a SQL database.
struct Sql<D: Dialect> {
    dialect: Arc<D>,
    pool: Arc<Pool<D>>,
    /// The batcher of the store's thread.
    batcher: Batcher<Arc<SqlExecutor<D>>>,
    runtime_batchers: RuntimeBatchers<SqlRuntimeExecutor<D>>,
    /// The name of the client that probes use.
    probe_client: String,
    timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
}

/// Connects, and makes the tables that are missing if the builder says so. The error
/// says what is wrong, without the URL: it may hold a password.
pub(super) async fn connect<D: Dialect>(
    dialect: D,
    builder: &RemoteStoreBuilder,
    connections: usize,
) -> Result<Arc<dyn Backend>, String> {
    let dialect = Arc::new(dialect);
    let pool = Pool::new(Arc::clone(&dialect), connections, builder.timeout);
    let breaker = CircuitBreaker::new(dialect.server(), &builder.breaker_settings());
    let executor = Arc::new(SqlExecutor::new(Arc::clone(&pool)));
    let of_store = Arc::clone(&executor);
    let start = move || SqlRuntimeExecutor::start(&of_store);
    let sql = Arc::new(Sql {
        runtime_batchers: RuntimeBatchers::new(Arc::clone(&breaker), start),
        batcher: Batcher::new(executor, breaker, builder.timeout),
        probe_client: probe_client(0),
        timeout: builder.timeout,
        clock: builder.clock.clone(),
        dialect,
        pool,
    });
    sql.check_tables(builder.migrate).await?;
    sql.pool.start_keep_alive();
    let prober: Arc<dyn Probe> = Arc::clone(&sql) as Arc<dyn Probe>;
    spawn_prober(sql.batcher.breaker(), &prober);
    sweep::start(&sql);
    Ok(sql)
}

impl<D: Dialect> fmt::Debug for Sql<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dialect.fmt(f)
    }
}

impl<D: Dialect> Backend for Sql<D> {
    fn run(&self, run: StoreRequest) -> BoxFuture<'_, Result<Reply, StoreError>> {
        Box::pin(async move {
            match self.runtime_batchers.of_caller(&run, &self.batcher) {
                Some(batcher) => batcher.run(run).await,
                None => self.batcher.run(run).await,
            }
        })
    }

    fn ban(
        &self,
        scope: u64,
        client: String,
        now: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Option<Ban>, StoreError>> {
        let name = name(&client, &storage_key::part('b', scope));
        Box::pin(async move {
            let found = self.select_bans(&format!("name = '{name}'"), now, 1).await?;
            Ok(found.into_iter().next().map(|(_, ban)| ban))
        })
    }

    fn bans(&self, page: BanQuery) -> BoxFuture<'_, Result<ListedBans, StoreError>> {
        Box::pin(async move {
            let part = storage_key::part('b', page.scope);
            let after = page.after.unwrap_or_default();
            if !after.bytes().all(is_simple) {
                let message = format!("{after:?} is not where a page of bans has ended");
                return Err(StoreError::new(message));
            }
            // A semicolon is what follows on a colon.
            let range = format!("name > '{}' AND name < '{part};'", name(&after, &part));
            let mut bans = self.select_bans(&range, page.now, page.limit + 1).await?;
            let more = bans.len() > page.limit;
            bans.truncate(page.limit);
            let next = bans.last().filter(|_| more).map(|(client, _)| client.clone());
            Ok(ListedBans { bans, next })
        })
    }

    fn health(&self) -> Vec<ServerHealth> {
        vec![self.batcher.health()]
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let probed = tokio::time::timeout(LONG_TIMEOUT, self.probe_at_start()).await;
            let late = |_| StoreError::new("a first decision took longer than 30 s");
            probed.map_err(late).flatten().map_err(|error| {
                StoreError::new(self.explain("cannot be used", &error.to_string()))
            })
        })
    }

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.make_tables().await.map(|_| ()).map_err(StoreError::new) })
    }
}

/// Recovery without traffic.
impl<D: Dialect> Probe for Sql<D> {
    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.probe_once())
    }

    fn reconnect(&self) -> BoxFuture<'_, ()> {
        self.pool.clear();
        self.runtime_batchers.reconnect();
        Box::pin(std::future::ready(()))
    }
}

impl<D: Dialect> Sql<D> {
    /// Bans in force, in the order of their names.
    async fn select_bans(
        &self,
        which: &str,
        now: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<(String, Ban)>, StoreError> {
        let now = now.map_or_else(|| self.dialect.now(), |now| now.as_micros().to_string());
        let sql = format!(
            "SELECT name, CONCAT(ends_at, ',', duration, ',', ban_count) FROM {}_bans \
             WHERE {which} AND ends_at > {now} AND ends_at <= {now} + duration + 1000000 \
             ORDER BY name LIMIT {limit}",
            self.dialect.prefix()
        );
        self.batcher.breaker().check()?;
        let rows = self.pool.rows(self.timeout, sql).await.map_err(StoreError::new)?;
        let ban = |(name, ban): (String, String)| {
            let (_, client) = name.split_once(':')?;
            Some((client.to_owned(), parse_ban(&ban)?))
        };
        Ok(rows.into_iter().filter_map(ban).collect())
    }

    /// Probes until no other process holds the locks.
    async fn probe_at_start(&self) -> Result<(), StoreError> {
        loop {
            match self.probe_once().await {
                Err(error) if D::is_locked(&error) => tokio::time::sleep(LOCKED_PAUSE).await,
                probed => return probed,
            }
        }
    }

    /// Decides, reads back and removes, as a check does.
    async fn probe_once(&self) -> Result<(), StoreError> {
        let now = self.clock.as_ref().map(|clock| clock.now());
        probe(self.batcher.executor(), &self.probe_client, now, self.timeout).await
    }

    /// The database, what is wrong with it in its own words, and what to do.
    fn explain(&self, what: &str, words: &str) -> String {
        format!("{} {what}: {}", self.dialect.server(), explain(words, self.dialect.prefix()))
    }
}

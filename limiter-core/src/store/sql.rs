//! SQL databases: what they have in common. Each is a [`Dialect`].

mod dialect;
mod error;
mod pool;
mod sweep;
pub(super) mod transaction;

use std::{
    fmt::{self},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

pub(super) use self::dialect::{Dialect, TextRows, is_simple, join, name, number};
use self::{error::SqlError, pool::Pool};
use super::remote::{
    RemoteStoreBuilder,
    backend::{Backend, BanQuery, ListedBans, Reply, StoreRequest, parse_ban},
    storage_key,
};
use crate::{
    ban::Ban,
    error::StoreError,
    time::{Clock, Timestamp},
};
use futures_core::future::BoxFuture;

/// A store in a SQL database.
struct Sql<D: Dialect> {
    dialect: Arc<D>,
    pool: Pool<D>,
    clock: Option<Arc<dyn Clock>>,
}

/// Connects, and makes what is missing if the builder says so. The error says
/// what is wrong, without the URL: it may hold a password.
pub(super) async fn connect<D: Dialect>(
    dialect: D,
    builder: &RemoteStoreBuilder,
    connections: usize,
) -> Result<Arc<dyn Backend>, String> {
    let dialect = Arc::new(dialect);
    let pool = Pool::start(&dialect, connections, builder.timeout);
    let sql = Arc::new(Sql { dialect, pool, clock: builder.clock.clone() });
    if let Err(error) = sql.patiently(sql.dialect.probe()).await {
        if !error.is_missing {
            return Err(format!("the database cannot be used: {error}"));
        }
        if !builder.migrate {
            return Err(error.to_string());
        }
        let cannot = |error| format!("the tables of the store cannot be made: {error}");
        sql.patiently(sql.dialect.schema()).await.map_err(cannot)?;
    }
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
        // A client goes by the same connection as long as as many are used: its
        // requests wait for each other here, not for a lock there.
        let lane = run.items.first().map_or(0, |item| lane(&item.client));
        Box::pin(async move { self.pool.run(lane, run).await.map_err(StoreError::from) })
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

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.patiently(self.dialect.schema()).await.map(|_| ()).map_err(StoreError::new)
        })
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
            "SELECT name, CONCAT(ends_at, ',', duration) FROM {}_bans \
             WHERE {which} AND ends_at > {now} AND ends_at <= {now} + duration + 1000000 \
             ORDER BY name LIMIT {limit}",
            self.dialect.prefix()
        );
        let rows = self.pool.rows(sql).await.map_err(StoreError::new)?;
        let ban = |(name, ban): (String, String)| {
            let (_, client) = name.split_once(':')?;
            Some((client.to_owned(), parse_ban(&ban)?))
        };
        Ok(rows.into_iter().filter_map(ban).collect())
    }

    /// Runs statements that may take longer than the deadline.
    async fn patiently(&self, sql: String) -> Result<TextRows, SqlError> {
        let patience = super::remote::builder::CONNECT_TIMEOUT + Duration::from_secs(8);
        self.pool.rows_within(patience, sql).await
    }
}

/// A number for a client that spreads clients over the connections.
fn lane(client: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    client.hash(&mut hasher);
    hasher.finish()
}

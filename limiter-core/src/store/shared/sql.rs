//! SQL databases: what they have in common. Each is a [`Dialect`].

mod lanes;
mod locked;
#[cfg(feature = "mysql")]
pub(super) mod mysql;
#[cfg(feature = "postgres")]
pub(super) mod postgres;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;
mod sweep;

use std::{
    fmt::{self, Write as _},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use futures_core::future::BoxFuture;
use sha2::{Digest, Sha256};

use self::lanes::Lanes;
use super::{
    SharedStoreBuilder,
    backend::{Backend, Before, Listed, Page, Run, parse_ban},
    naming,
};
use crate::{
    ban::Ban,
    error::StoreError,
    time::{Clock, Timestamp},
};

/// Two columns, as text.
type Rows = Vec<(String, String)>;

/// One kind of database.
trait Dialect: fmt::Debug + Send + Sync + 'static {
    type Connection: sqlx::Connection;

    fn connect(&self) -> BoxFuture<'_, Result<Self::Connection, sqlx::Error>>;

    /// Does what is asked, one after the other, in one transaction, and leaves
    /// none open, whatever the database answers.
    fn run<'c>(
        &'c self,
        connection: &'c mut Self::Connection,
        runs: &'c [Run],
    ) -> BoxFuture<'c, Result<Vec<Before>, sqlx::Error>>;

    /// Whether that takes one statement alone, and no lock beyond it.
    fn is_short(&self, _: &Run) -> bool {
        false
    }

    /// Runs statements, and returns all rows of two columns.
    fn rows(
        connection: &mut Self::Connection,
        sql: String,
    ) -> BoxFuture<'_, Result<Rows, sqlx::Error>>;

    /// What the names of tables begin with.
    fn prefix(&self) -> &str;

    /// The SQL that makes tables and functions.
    fn schema(&self) -> String;

    /// SQL that fails where they are missing.
    fn probe(&self) -> String;

    /// The present instant in microseconds, as SQL.
    fn now(&self) -> String;

    /// SQL that looks at up to `limit` rows of a table behind a name, and
    /// removes those that have expired by `now`. Answers with "looked" and how
    /// many these are, "gone" and how many these were, "last" and its name.
    fn sweep(&self, table: &str, behind: &str, limit: usize, now: &str) -> String;
}

/// A store in a SQL database.
struct Sql<D: Dialect> {
    dialect: Arc<D>,
    lanes: Lanes<D>,
    clock: Option<Arc<dyn Clock>>,
}

/// Connects, and makes what is missing if the builder says so. The error says
/// what is wrong, without the URL: it may hold a password.
async fn connect<D: Dialect>(
    dialect: D,
    builder: &SharedStoreBuilder,
    connections: usize,
) -> Result<Arc<dyn Backend>, String> {
    let dialect = Arc::new(dialect);
    let lanes = Lanes::start(&dialect, connections, builder.deadline);
    let sql = Arc::new(Sql { dialect, lanes, clock: builder.clock.clone() });
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
    fn run(&self, run: Run) -> BoxFuture<'_, Result<Before, StoreError>> {
        // A client goes by the same connection as long as as many are used: its
        // requests wait for each other here, not for a lock there.
        let lane = run.items.first().map_or(0, |item| lane(&item.client));
        Box::pin(async move { self.lanes.run(lane, run).await.map_err(StoreError::from) })
    }

    fn ban(
        &self,
        scope: u64,
        client: String,
        now: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Option<Ban>, StoreError>> {
        let name = name(&client, &naming::part('b', scope));
        Box::pin(async move {
            let found = self.select_bans(&format!("name = '{name}'"), now, 1).await?;
            Ok(found.into_iter().next().map(|(_, ban)| ban))
        })
    }

    fn bans(&self, page: Page) -> BoxFuture<'_, Result<Listed, StoreError>> {
        Box::pin(async move {
            let part = naming::part('b', page.scope);
            let after = page.after.unwrap_or_default();
            if !after.bytes().all(is_plain) {
                let message = format!("{after:?} is not where a page of bans has ended");
                return Err(StoreError::new(message));
            }
            // A semicolon is what follows on a colon.
            let range = format!("name > '{}' AND name < '{part};'", name(&after, &part));
            let mut bans = self.select_bans(&range, page.now, page.limit + 1).await?;
            let more = bans.len() > page.limit;
            bans.truncate(page.limit);
            let next = bans.last().filter(|_| more).map(|(client, _)| client.clone());
            Ok(Listed { bans, next })
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
            "SELECT name, CONCAT(ends, ',', lasted) FROM {}_bans \
             WHERE {which} AND ends > {now} ORDER BY name LIMIT {limit}",
            self.dialect.prefix()
        );
        let rows = self.lanes.rows(sql).await.map_err(StoreError::new)?;
        let ban = |(name, ban): (String, String)| {
            let (_, client) = name.split_once(':')?;
            Some((client.to_owned(), parse_ban(&ban)?))
        };
        Ok(rows.into_iter().filter_map(ban).collect())
    }

    /// Runs statements that may take longer than the deadline.
    async fn patiently(&self, sql: String) -> Result<Rows, lanes::Fault> {
        let patience = super::builder::PATIENCE + Duration::from_secs(8);
        self.lanes.rows_within(patience, sql).await
    }
}

/// A row's name. Names are put into SQL as they are: all of their characters
/// are plain.
fn name(client: &str, part: &str) -> String {
    debug_assert!(client.bytes().all(is_plain), "{client:?}");
    format!("{part}:{client}")
}

/// Whether names consist of that: no quote, no backslash, no brace, no comma.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./:=&#*".contains(&byte)
}

/// By which numbers clients are locked: sorted, each once, so that no two
/// transactions wait for each other.
fn locks<'a>(prefix: &str, clients: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let mut locks: Vec<u64> = clients.map(|client| number(prefix, client)).collect();
    locks.sort_unstable();
    locks.dedup();
    locks
}

/// Values with commas between.
fn join<T: fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{value}");
    }
    text
}

/// A number for a client that spreads clients over the connections.
fn lane(client: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    client.hash(&mut hasher);
    hasher.finish()
}

/// A number for a client, by which a database can lock it.
fn number(prefix: &str, client: &str) -> u64 {
    let digest = Sha256::new().chain_update(prefix).chain_update([0]).chain_update(client);
    digest.finalize()[..8].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

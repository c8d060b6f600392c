//! SQLite: a file of this host, one writer at a time.

use std::{str::FromStr, sync::Arc};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Row, SqliteConnection, raw_sql,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    Dialect, Rows,
    locked::{self, Changes, Found, Locking, Names, States, text},
};
use crate::{
    quota::Algorithm,
    store::shared::{
        SharedStoreBuilder,
        backend::{Backend, Before, Run},
        builder::server_patience,
        wire,
    },
    time::wall_clock,
};

const SCHEMA: &str = include_str!("sqlite.sql");

#[derive(Debug)]
struct Sqlite {
    options: SqliteConnectOptions,
    prefix: String,
}

pub(in crate::store::shared) fn schema(prefix: &str) -> String {
    SCHEMA.replace("{prefix}", prefix)
}

pub(in crate::store::shared) async fn connect(
    builder: &SharedStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let options = SqliteConnectOptions::from_str(&builder.url)
        .map_err(|_| "the URL is none of a SQLite file; write sqlite://path/to/file")?;
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A crash of the host may lose the last changes, one of the server none.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(server_patience(builder.deadline))
        .disable_statement_logging();
    let sqlite = Sqlite { options, prefix: builder.prefix.clone() };
    super::connect(sqlite, builder, 1).await
}

impl Dialect for Sqlite {
    type Connection = SqliteConnection;

    fn connect(&self) -> BoxFuture<'_, Result<SqliteConnection, sqlx::Error>> {
        self.options.connect().boxed()
    }

    fn run<'c>(
        &'c self,
        connection: &'c mut SqliteConnection,
        runs: &'c [Run],
    ) -> BoxFuture<'c, Result<Vec<Before>, sqlx::Error>> {
        async move { locked::transact(self, connection, runs).await }.boxed()
    }

    fn rows(
        connection: &mut SqliteConnection,
        sql: String,
    ) -> BoxFuture<'_, Result<Rows, sqlx::Error>> {
        async move {
            let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
            let pairs = rows.iter().filter(|row| row.len() == 2);
            pairs.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        }
        .boxed()
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn schema(&self) -> String {
        format!("BEGIN IMMEDIATE; {} COMMIT", schema(&self.prefix))
    }

    fn probe(&self) -> String {
        format!(
            "SELECT name, state FROM {0}_counters WHERE name = ''; \
             SELECT name, name FROM {0}_bans WHERE name = ''",
            self.prefix
        )
    }

    fn now(&self) -> String {
        wall_clock().as_micros().to_string()
    }

    fn sweep(&self, table: &str, behind: &str, limit: usize, now: &str) -> String {
        let looked =
            format!("SELECT name FROM {table} WHERE name > '{behind}' ORDER BY name LIMIT {limit}");
        format!(
            "SELECT 'looked', CAST(COUNT(*) AS TEXT) FROM ({looked}); \
             SELECT 'last', COALESCE(MAX(name), '') FROM ({looked}); \
             DELETE FROM {table} WHERE name IN ({looked}) AND expires < {now}; \
             SELECT 'gone', CAST(changes() AS TEXT)"
        )
    }
}

impl Locking for Sqlite {
    fn read_states(_: impl Iterator<Item = Algorithm>, text: &str) -> States {
        wire::states(text).collect()
    }

    /// Locks the whole file.
    async fn begin(
        &self,
        connection: &mut SqliteConnection,
        _: &[u64],
        names: &Names<'_>,
    ) -> Result<Found, sqlx::Error> {
        let sql = format!("BEGIN IMMEDIATE; {}", text::select(&self.prefix, names));
        let rows = Self::rows(connection, sql).await?;
        Ok(Found { now: Some(wall_clock().as_micros()), ..text::found(rows, names) })
    }

    async fn commit(
        &self,
        connection: &mut SqliteConnection,
        changes: &Changes<'_>,
    ) -> Result<(), sqlx::Error> {
        let replaced = |column: &str| format!("excluded.{column}");
        let sql = text::write(&self.prefix, changes, "ON CONFLICT (name) DO UPDATE SET", replaced);
        Self::rows(connection, sql + "COMMIT").await.map(|_| ())
    }

    /// A busy file has been waited for already.
    fn is_conflict(_: &sqlx::Error) -> bool {
        false
    }
}

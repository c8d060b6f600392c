//! SQLite: a file of this host, one writer at a time.
//!
//! A check of one quota by gcra that fits takes [one statement](fast_path). Any other step is
//! two prepared scripts, one that begins the transaction and reads and one that
//! writes and commits. All rows go in as JSON, and come out as one row: sqlx sends each
//! row by itself from the connection's thread, which took most of a step's time.

mod fast_path;
mod statements;

use std::{str::FromStr, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Row, SqliteConnection, query, query_as, raw_sql,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use self::{fast_path::FastStatement, statements::Statements};
use super::sql::{
    Charged, Dialect, SqlError, TextRows, counter_columns,
    fast_path::FastPath,
    pass_over::PassOver,
    transaction::{self, Transactional},
};
use crate::{
    error::StoreError,
    store::remote::{
        RemoteStoreBuilder,
        backend::{Backend, Reply},
        batcher::BatchEntry,
        builder::server_timeout,
        counter_states::CounterStates,
        state_rows::{Changes, LoadedRows, Rows},
    },
    time::wall_clock,
};

/// How long the locks of others are waited for when a file is opened and when its tables
/// are made: its journal is switched to WAL under a lock.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

const SCHEMA: &str = include_str!("sqlite/tables.sql");

/// Bytes of a page in a new file. A step writes a page for each row that it changes, none
/// of them neighbours: of SQLite's 4,096 bytes each most would be written for nothing.
const PAGE_SIZE: u32 = 1_024;

/// Pages of the journal after which a step copies it into the file: 4 MB, as many bytes as
/// by default. More are copied more seldom, and hold up a step for longer: 8,000 took up to
/// 64 ms, and a request has 100.
const CHECKPOINT_PAGES: &str = "4000";

#[derive(Debug)]
struct Sqlite {
    options: SqliteConnectOptions,
    /// How long a check waits for the locks of others.
    busy_timeout: Duration,
    prefix: String,
    statements: Statements,
    fast_path: FastStatement,
    pass_over: PassOver,
}

pub(in crate::store) fn schema(prefix: &str) -> String {
    SCHEMA.replace("{prefix}", prefix)
}

pub(in crate::store) async fn connect(
    builder: &RemoteStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let options = SqliteConnectOptions::from_str(&builder.url)
        .map_err(|_| "the URL is none of a SQLite file; write sqlite://path/to/file")?;
    let options = options
        .create_if_missing(true)
        .page_size(PAGE_SIZE)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .journal_mode(SqliteJournalMode::Wal)
        // A crash of the host may lose the last changes, one of the server none.
        .synchronous(SqliteSynchronous::Normal)
        .disable_statement_logging();
    let busy_timeout = server_timeout(builder.timeout);
    let prefix = builder.prefix.clone();
    let (statements, fast_path) = (Statements::new(&prefix), FastStatement::new(&prefix));
    let pass_over = PassOver::default();
    let sqlite = Sqlite { options, busy_timeout, prefix, statements, fast_path, pass_over };
    super::sql::connect(sqlite, builder, 1).await
}

impl Sqlite {
    /// Replies to the checks that the fast path charges.
    async fn charge_fitting(
        &self,
        connection: &mut SqliteConnection,
        checks: FastPath,
        replies: &mut Charged,
    ) -> Result<(), SqlError> {
        if !self.pass_over.is_due() {
            self.fast_path.run(connection, &checks, replies).await?;
            self.pass_over.observe(&checks, replies);
        }
        Ok(())
    }
}

impl Dialect for Sqlite {
    type Connection = SqliteConnection;

    const CONNECT_TIMEOUT: Duration = OPEN_TIMEOUT;

    fn connect(&self) -> BoxFuture<'_, Result<SqliteConnection, sqlx::Error>> {
        async {
            let options = self.options.clone().busy_timeout(OPEN_TIMEOUT);
            let mut connection = options.connect().await?;
            let timeout = format!("PRAGMA busy_timeout = {}", self.busy_timeout.as_millis());
            raw_sql(AssertSqlSafe(timeout)).execute(&mut connection).await?;
            Ok(connection)
        }
        .boxed()
    }

    fn is_locked(error: &StoreError) -> bool {
        let words = error.to_string();
        ["database is locked", "in time"].iter().any(|part| words.contains(part))
    }

    fn charge<'c>(
        &'c self,
        connection: &'c mut SqliteConnection,
        checks: FastPath,
        replies: &'c mut Charged,
    ) -> BoxFuture<'c, Result<(), SqlError>> {
        self.charge_fitting(connection, checks, replies).boxed()
    }

    fn run<'c>(
        &'c self,
        connection: &'c mut SqliteConnection,
        batch: &'c [BatchEntry],
    ) -> BoxFuture<'c, Result<Vec<Reply>, SqlError>> {
        transaction::transact(self, connection, batch).boxed()
    }

    fn rows(
        connection: &mut SqliteConnection,
        sql: String,
    ) -> BoxFuture<'_, Result<TextRows, sqlx::Error>> {
        async move {
            let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
            let pairs = rows.iter().filter(|row| row.len() == 2);
            pairs.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        }
        .boxed()
    }

    fn server(&self) -> String {
        format!("the SQLite file {}", self.options.get_filename().display())
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn schema(&self) -> String {
        format!(
            "PRAGMA busy_timeout = {}; BEGIN IMMEDIATE; {} COMMIT; PRAGMA busy_timeout = {}",
            OPEN_TIMEOUT.as_millis(),
            schema(&self.prefix),
            self.busy_timeout.as_millis()
        )
    }

    fn probe(&self) -> String {
        format!(
            "SELECT name, state FROM {0}_counters WHERE name = ''; \
             SELECT tat, quota_limit + quota_burst + quota_window FROM {0}_counters WHERE name = ''; \
             SELECT name, ban_count FROM {0}_bans WHERE name = ''",
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
             DELETE FROM {table} WHERE name IN ({looked}) AND expires_at < {now}; \
             SELECT 'gone', CAST(changes() AS TEXT)"
        )
    }
}

impl Transactional for Sqlite {
    fn read_states(text: &str) -> CounterStates {
        counter_columns::read_states(text)
    }

    /// Locks the whole file, unless nothing will be written.
    async fn read(
        &self,
        connection: &mut SqliteConnection,
        rows: &Rows<'_>,
        _: usize,
    ) -> Result<LoadedRows, sqlx::Error> {
        let names = rows.names();
        let sql = if rows.is_look() { &self.statements.look } else { &self.statements.read };
        let loaded: Vec<(Option<String>, Option<String>)> =
            query_as(AssertSqlSafe(Arc::clone(sql)))
                .bind(statements::array(&names.counters))
                .bind(statements::array(&names.bans))
                .fetch_all(connection)
                .await?;
        let (counters, bans) = loaded.into_iter().next().unwrap_or_default();
        Ok(LoadedRows {
            now: Some(wall_clock().as_micros()),
            counters: statements::loaded(counters, names.counters.len()),
            bans: statements::loaded(bans, names.bans.len()),
        })
    }

    async fn write(
        &self,
        connection: &mut SqliteConnection,
        changes: &Changes<'_>,
        _: usize,
    ) -> Result<bool, sqlx::Error> {
        // To write no rows would take the lock all the same, which a look has not.
        if changes.is_empty() {
            return Self::rows(connection, "COMMIT".to_owned()).await.map(|_| true);
        }
        let [counters, bans, gone_counters, gone_bans] = statements::changed_rows(changes);
        query(AssertSqlSafe(Arc::clone(&self.statements.write)))
            .bind(counters)
            .bind(bans)
            .bind(gone_counters)
            .bind(gone_bans)
            .execute(connection)
            .await?;
        Ok(true)
    }

    /// A busy file has been waited for already.
    fn is_conflict(_: &sqlx::Error) -> bool {
        false
    }
}

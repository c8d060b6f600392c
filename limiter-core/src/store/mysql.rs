//! MySQL and MariaDB: a check of one quota by gcra that fits takes [one script](fast_path);
//! everything else locks rows, and takes two round trips.
//!
//! All are scripts of several statements, sent as text.

mod fast_path;
mod statements;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use sqlx::{
    AssertSqlSafe, ConnectOptions, MySqlConnection, Row,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlRow},
    raw_sql,
};

use self::fast_path::FastStatement;
use super::sql::{
    Charged, Dialect, SqlError, TextRows, counter_columns,
    fast_path::FastPath,
    join, number,
    pass_over::PassOver,
    transaction::{self, Transactional},
};
use crate::store::remote::{
    RemoteStoreBuilder,
    backend::{Backend, Reply},
    batcher::BatchEntry,
    builder::server_timeout,
    counter_states::CounterStates,
    state_rows::{Changes, LoadedRows, Rows},
};

const SCHEMA: &str = include_str!("mysql/tables.sql");

/// How many rows there are to lock: see `mysql/tables.sql`.
const LOCKS: u64 = 4_096;

/// The instant of a statement, in microseconds.
const NOW: &str = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)";

struct MySql {
    options: MySqlConnectOptions,
    prefix: String,
    patience: Duration,
    fast_path: FastStatement,
    pass_over: PassOver,
}

impl fmt::Debug for MySql {
    /// Without the options: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySql").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

pub(in crate::store) fn schema(prefix: &str) -> String {
    SCHEMA.replace("{prefix}", prefix)
}

pub(in crate::store) async fn connect(
    builder: &RemoteStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let options = MySqlConnectOptions::from_str(&builder.url).map_err(|_| {
        "the URL is none of a MySQL or MariaDB server; write mysql://user:password@host:port/database"
    })?;
    let mysql = MySql {
        options: options.disable_statement_logging(),
        prefix: builder.prefix.clone(),
        patience: server_timeout(builder.timeout),
        fast_path: FastStatement::new(&builder.prefix),
        pass_over: PassOver::default(),
    };
    super::sql::connect(mysql, builder, builder.pool_size).await
}

impl MySql {
    /// Returns the first statement of every connection. (sqlx has set its time zone to UTC.)
    fn greeting(&self, version: &str) -> String {
        let seconds = self.patience.as_secs() + 1;
        let bound = match version.contains("MariaDB") {
            true => self.statement_time(),
            // Limits SELECTs alone, which is where the general form waits for locks.
            false => format!("max_execution_time = {}", self.patience.as_millis()),
        };
        format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             SET SESSION autocommit = 1, innodb_lock_wait_timeout = {seconds}, {bound}"
        )
    }

    /// MariaDB's bound for any statement, in seconds.
    fn statement_time(&self) -> String {
        let millis = self.patience.as_millis();
        format!("max_statement_time = {}.{:03}", millis / 1_000, millis % 1_000)
    }
}

impl MySql {
    /// Replies to the checks that the fast path charges.
    async fn charge_fitting(
        &self,
        connection: &mut MySqlConnection,
        checks: FastPath,
        replies: &mut Charged,
    ) -> Result<(), SqlError> {
        if self.pass_over.is_due() {
            return Ok(());
        }
        if let Err(error) = self.fast_path.run(connection, &checks, replies).await {
            if !matches!(error.source(), Some(sqlx::Error::Database(_))) || !error.is_healthy {
                return Err(error);
            }
            // It has changed nothing, and the general form decides all of them.
            Self::rows(connection, "ROLLBACK".to_owned()).await.map_err(SqlError::unwritten)?;
        }
        self.pass_over.observe(&checks, replies);
        Ok(())
    }
}

/// Returns a column as text.
fn text(row: &MySqlRow, at: usize) -> Result<String, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get_unchecked(at)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Dialect for MySql {
    type Connection = MySqlConnection;

    /// Where one that was closed is found as it is used, a script of the fast path may have been
    /// carried out, and is not sent again.
    const FRESH: Duration = Duration::from_millis(1);

    fn charge<'c>(
        &'c self,
        connection: &'c mut MySqlConnection,
        checks: FastPath,
        replies: &'c mut Charged,
    ) -> BoxFuture<'c, Result<(), SqlError>> {
        self.charge_fitting(connection, checks, replies).boxed()
    }

    fn connect(&self) -> BoxFuture<'_, Result<MySqlConnection, sqlx::Error>> {
        async move {
            let mut connection = self.options.connect().await?;
            let sql = "SELECT 'version', VERSION()".to_owned();
            let version = Self::rows(&mut connection, sql).await?;
            let version = version.first().map_or("", |(_, version)| version.as_str());
            Self::rows(&mut connection, self.greeting(version)).await?;
            Ok(connection)
        }
        .boxed()
    }

    fn run<'c>(
        &'c self,
        connection: &'c mut MySqlConnection,
        batch: &'c [BatchEntry],
    ) -> BoxFuture<'c, Result<Vec<Reply>, SqlError>> {
        transaction::transact(self, connection, batch).boxed()
    }

    fn rows(
        connection: &mut MySqlConnection,
        sql: String,
    ) -> BoxFuture<'_, Result<TextRows, sqlx::Error>> {
        async move {
            let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
            let pairs = rows.iter().filter(|row| row.len() == 2);
            pairs.map(|row| Ok((text(row, 0)?, text(row, 1)?))).collect()
        }
        .boxed()
    }

    fn server(&self) -> String {
        format!("the MySQL server at {}:{}", self.options.get_host(), self.options.get_port())
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn schema(&self) -> String {
        // Without the bound that MariaDB sets statements (MySQL: SELECTs alone).
        format!(
            "/*M! SET SESSION max_statement_time = 0 */; {} /*M! SET SESSION {} */",
            schema(&self.prefix),
            self.statement_time()
        )
    }

    fn probe(&self) -> String {
        format!(
            "SELECT name, state FROM {0}_counters WHERE name = ''; \
             SELECT tat, quota_limit + quota_burst + quota_window FROM {0}_counters WHERE name = ''; \
             SELECT name, ends_at + ban_count FROM {0}_bans WHERE name = ''; \
             SELECT id, id FROM {0}_locks WHERE id = 0",
            self.prefix
        )
    }

    fn now(&self) -> String {
        NOW.to_owned()
    }

    fn sweep(&self, table: &str, behind: &str, limit: usize, now: &str) -> String {
        format!(
            "SET @now = {now}; \
             SELECT COUNT(*), COALESCE(MAX(name), '') INTO @looked, @last FROM \
               (SELECT name FROM {table} WHERE name > '{behind}' ORDER BY name LIMIT {limit}) t; \
             DELETE FROM {table} WHERE name > '{behind}' AND name <= @last AND expires_at < @now; \
             SELECT 'gone', CAST(ROW_COUNT() AS CHAR) UNION ALL SELECT 'looked', CAST(@looked AS CHAR) \
             UNION ALL SELECT 'last', @last"
        )
    }
}

impl Transactional for MySql {
    fn read_states(text: &str) -> CounterStates {
        counter_columns::read_states(text)
    }

    async fn read(
        &self,
        connection: &mut MySqlConnection,
        rows: &Rows<'_>,
        _: usize,
    ) -> Result<LoadedRows, sqlx::Error> {
        let (prefix, names) = (&self.prefix, rows.names());
        let select = statements::select(prefix, &names, !rows.is_look());
        if rows.is_look() {
            let sql = format!("START TRANSACTION READ ONLY; {select}");
            return Ok(statements::loaded(Self::rows(connection, sql).await?, &names));
        }
        // Without the prefix: the tables may be named with their database or without.
        let mut ids: Vec<u64> = rows.clients().map(|client| number(client) % LOCKS).collect();
        ids.sort_unstable();
        ids.dedup();
        let sql = format!(
            "START TRANSACTION; \
             SELECT CONCAT('lock ', id), '' FROM {prefix}_locks WHERE id IN ({}) ORDER BY id FOR UPDATE; \
             {select}",
            join(&ids)
        );
        let rows = Self::rows(connection, sql).await?;
        if rows.iter().filter(|(name, _)| name.starts_with("lock ")).count() < ids.len() {
            let message =
                format!("rows of {prefix}_locks are missing; call RemoteStore::migrate()");
            return Err(sqlx::Error::Protocol(message));
        }
        Ok(statements::loaded(rows, &names))
    }

    async fn write(
        &self,
        connection: &mut MySqlConnection,
        changes: &Changes<'_>,
        _: usize,
    ) -> Result<bool, sqlx::Error> {
        let sql = statements::write(&self.prefix, changes);
        Self::rows(connection, sql + "COMMIT").await.map(|_| true)
    }

    fn is_conflict(error: &sqlx::Error) -> bool {
        const DEADLOCK: u16 = 1213;
        let error = error.as_database_error();
        let error = error.and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
        error.is_some_and(|error| error.number() == DEADLOCK)
    }
}

//! PostgreSQL: a check of one quota by gcra that fits takes [one statement](fast_statement);
//! everything else is read, decided in Rust, and [written](general_path) if it is still as
//! it was read.
//!
//! Input: store requests. Output: the state before each. No function, no advisory
//! lock, and a refusal writes nothing. Statements are prepared, but not behind a pooler
//! in transaction mode: see [`statement`].

mod connection;
mod fast_statement;
mod general_path;
mod statement;

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use sqlx::{
    ConnectOptions, PgConnection, Row,
    postgres::{PgConnectOptions, PgRow},
};

pub(in crate::store) use self::connection::connect;
use self::{
    connection::settings,
    fast_statement::FastStatement,
    statement::{Argument, Statement, run_text},
};
use super::sql::{Charged, Dialect, SqlError, TextRows, fast_path::FastPath, transaction};
use crate::store::remote::{backend::Reply, batcher::BatchEntry};

const SCHEMA: &str = include_str!("postgres/sql/tables.sql");

struct Postgres {
    options: PgConnectOptions,
    prefix: String,
    timeout: Duration,
    statements: Statements,
    /// True if statements are sent as text.
    is_pooled: AtomicBool,
    /// True if counters that the fast path did not find were new of late.
    expects_new_keys: AtomicBool,
}

struct Statements {
    charge: FastStatement,
    insert: FastStatement,
    read: Statement,
    lock: Statement,
    write: Statement,
}

impl Statements {
    fn new(prefix: &str) -> Self {
        Self {
            charge: FastStatement::new(include_str!("postgres/sql/fast_path.sql"), prefix),
            insert: FastStatement::new(include_str!("postgres/sql/insert.sql"), prefix),
            read: Statement::new(include_str!("postgres/sql/read.sql"), prefix),
            lock: Statement::new(include_str!("postgres/sql/lock.sql"), prefix),
            write: Statement::new(include_str!("postgres/sql/write.sql"), prefix),
        }
    }
}

impl fmt::Debug for Postgres {
    /// Without the options: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

pub(in crate::store) fn schema(prefix: &str) -> String {
    SCHEMA.replace("{prefix}", prefix)
}

impl Postgres {
    /// Replies to the checks that the fast path charges.
    async fn charge_fitting(
        &self,
        connection: &mut PgConnection,
        mut checks: FastPath,
        replies: &mut Charged,
    ) -> Result<(), SqlError> {
        let Statements { charge, insert, .. } = &self.statements;
        self.run_fast(connection, charge, &mut checks, replies).await?;
        let missing = checks.len();
        if missing > 0 && self.expects_new_keys.load(Ordering::Relaxed) {
            let inserted = self.run_fast(connection, insert, &mut checks, replies).await;
            let has_charged = replies.iter().any(Option::is_some);
            inserted.map_err(|error| if has_charged { error.partly_applied() } else { error })?;
            // Where most are refused, the statement is a round trip for nothing.
            if checks.len() > missing / 2 {
                self.expects_new_keys.store(false, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Runs a statement of the fast path, and replies to the checks that it has charged.
    async fn run_fast(
        &self,
        connection: &mut PgConnection,
        fast: &FastStatement,
        checks: &mut FastPath,
        replies: &mut Charged,
    ) -> Result<(), SqlError> {
        let (statement, arguments) = (fast.of(checks), fast_statement::arguments(checks));
        match self.run_statement(connection, statement, &arguments).await {
            Ok(rows) => Ok(fast_statement::reply(checks, &rows, replies)?),
            // The general form decides all of them.
            Err(error) if general_path::is_conflict(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a statement, prepared or as text.
    async fn run_statement(
        &self,
        connection: &mut PgConnection,
        statement: &Statement,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        if !self.is_pooled.load(Ordering::Relaxed) {
            match statement.run(connection, arguments).await {
                Err(error) if is_unknown_statement(&error) => {
                    self.is_pooled.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let sql = statement.with_literals(arguments);
        run_text(connection, format!("{}{sql}", self.session_settings())).await
    }

    /// SQL that makes the settings that a session behind a pooler has not kept, for
    /// one transaction.
    fn session_settings(&self) -> String {
        if !self.is_pooled.load(Ordering::Relaxed) {
            return String::new();
        }
        let mut sql = String::new();
        for (name, value) in settings(self.timeout) {
            let is_of_session = matches!(
                name,
                "statement_timeout" | "default_transaction_isolation" | "plan_cache_mode"
            );
            if !is_of_session {
                sql += &format!("SET LOCAL {name} = {value}; ");
            }
        }
        sql
    }
}

/// Returns true if a prepared statement was not found (26000), or another one has its name
/// (42P05): nothing was executed. So a pooler lends each transaction another session.
fn is_unknown_statement(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "26000" || code == "42P05")
}

impl Dialect for Postgres {
    type Connection = PgConnection;

    fn connect(&self) -> BoxFuture<'_, Result<PgConnection, sqlx::Error>> {
        self.options.connect().boxed()
    }

    fn charge<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        checks: FastPath,
        replies: &'c mut Charged,
    ) -> BoxFuture<'c, Result<(), SqlError>> {
        self.charge_fitting(connection, checks, replies).boxed()
    }

    fn run<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        batch: &'c [BatchEntry],
    ) -> BoxFuture<'c, Result<Vec<Reply>, SqlError>> {
        transaction::transact(self, connection, batch).boxed()
    }

    fn rows(
        connection: &mut PgConnection,
        sql: String,
    ) -> BoxFuture<'_, Result<TextRows, sqlx::Error>> {
        async move {
            let rows = run_text(connection, sql).await?;
            let pairs = rows.iter().filter(|row| row.len() == 2);
            pairs.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        }
        .boxed()
    }

    fn server(&self) -> String {
        format!("the PostgreSQL server at {}:{}", self.options.get_host(), self.options.get_port())
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn schema(&self) -> String {
        // One at a time: several servers may start at once. Within one text,
        // all is one transaction.
        let lock = super::sql::number(&format!("{}\0schema", self.prefix)).cast_signed();
        format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
             SELECT pg_advisory_xact_lock({lock}); {}",
            schema(&self.prefix)
        )
    }

    fn probe(&self) -> String {
        format!(
            "SELECT name, state FROM {0}_counters WHERE name = ''; \
             SELECT tat, quota_limit + quota_burst + quota_window + expires_at FROM {0}_counters WHERE name = ''; \
             SELECT name, ends_at + duration + ban_count + expires_at FROM {0}_bans WHERE name = ''",
            self.prefix
        )
    }

    fn now(&self) -> String {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint".to_owned()
    }

    fn sweep(&self, table: &str, behind: &str, limit: usize, now: &str) -> String {
        format!(
            "WITH looked AS (SELECT name FROM {table} WHERE name > '{behind}' \
               ORDER BY name LIMIT {limit}), \
             gone AS (DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} \
               WHERE name > '{behind}' AND name <= (SELECT max(name) FROM looked) \
               AND expires_at < {now} FOR UPDATE SKIP LOCKED) RETURNING 1) \
             SELECT 'looked', count(*)::text FROM looked \
             UNION ALL SELECT 'gone', count(*)::text FROM gone \
             UNION ALL SELECT 'last', coalesce(max(name), '') FROM looked"
        )
    }
}

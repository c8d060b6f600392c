//! PostgreSQL: a function decides a check [alone], in one statement. Several at
//! once, or what is owed, are decided in Rust [between two round trips](batch):
//! that is slower for one, and several times as fast for many.
//!
//! Statements are sent as text (the simple query protocol): one round trip
//! from the first on, and no prepared statement that a pooler in transaction
//! mode would lose. They call functions: what these do is planned once for each
//! of the server's processes, whoever it serves.

mod batch;
mod encoding;
mod single;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row, postgres::PgConnectOptions, raw_sql};

use super::sql::{Dialect, Rows, join, transaction};
use crate::store::remote::{
    RemoteStoreBuilder,
    backend::{Backend, Reply, StoreRequest},
    builder::server_timeout,
    operation::Operation,
};

/// For how long a transaction may wait for its client.
const IDLE_MILLIS: &str = "2000";

const SCHEMA: &str = concat!(
    include_str!("postgres/sql/tables.sql"),
    "\n",
    include_str!("postgres/sql/sliding_window.sql"),
    "\n",
    include_str!("postgres/sql/check.sql"),
    "\n",
    include_str!("postgres/sql/fast_path.sql"),
    "\n",
    include_str!("postgres/sql/batch.sql"),
);

struct Postgres {
    options: PgConnectOptions,
    prefix: String,
    /// How long to wait for a lock, where connections do not keep the settings
    /// that they begin with: behind a pooler. Each transaction then has to make
    /// them.
    patience: Option<Duration>,
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

pub(in crate::store) async fn connect(
    builder: &RemoteStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let options = PgConnectOptions::from_str(&builder.url).map_err(|_| {
        "the URL is none of a PostgreSQL server; write postgres://user:password@host:port/database"
    })?;
    // A pooler would have to be told to let that pass.
    let plain = options.extra_float_digits(None).disable_statement_logging();
    let patience = server_timeout(builder.timeout);
    let settings = settings(&patience.as_millis().to_string());
    let settled = plain.clone().options(settings.iter().map(|(name, value)| (*name, value)));
    let prefix = builder.prefix.clone();
    let postgres = match takes(&settled, &settings).await {
        true => Postgres { options: settled, prefix, patience: None },
        false => Postgres { options: plain, prefix, patience: Some(patience) },
    };
    super::sql::connect(postgres, builder, builder.pool_size).await
}

/// What a connection begins with. Should this server freeze, locks are not held
/// for ever. What is read is as of after the locks, whatever the role's default.
/// And rows are looked up by name, even where reading all of a small table seems
/// cheaper to the planner: it would go on to once the table has grown.
fn settings(millis: &str) -> [(&'static str, String); 5] {
    [
        ("statement_timeout", millis),
        ("lock_timeout", millis),
        ("idle_in_transaction_session_timeout", IDLE_MILLIS),
        ("default_transaction_isolation", "read committed"),
        ("enable_seqscan", "off"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}

/// Whether a connection keeps the settings that it begins with. A pooler
/// refuses them, or lets them pass unheard.
async fn takes(options: &PgConnectOptions, settings: &[(&str, String)]) -> bool {
    let ask = async {
        let mut connection = options.connect().await?;
        let names = join(settings.iter().map(|(name, _)| name));
        let sql = format!("SELECT name, setting FROM pg_settings WHERE name = ANY ('{{{names}}}')");
        Postgres::rows(&mut connection, sql).await
    };
    match tokio::time::timeout(crate::store::remote::builder::CONNECT_TIMEOUT, ask).await {
        Ok(Ok(rows)) => {
            let has = |(name, value): &(&str, String)| {
                rows.iter().any(|(known, setting)| known == name && setting == value)
            };
            settings.iter().all(has)
        }
        // What else is wrong shows when the store is tried.
        _ => false,
    }
}

impl Dialect for Postgres {
    type Connection = PgConnection;

    fn connect(&self) -> BoxFuture<'_, Result<PgConnection, sqlx::Error>> {
        self.options.connect().boxed()
    }

    fn run<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        runs: &'c [StoreRequest],
    ) -> BoxFuture<'c, Result<Vec<Reply>, sqlx::Error>> {
        async move {
            match runs {
                [run] if self.is_single_statement(run) => {
                    self.ask(connection, run).await.map(|before| vec![before])
                }
                runs => transaction::transact(self, connection, runs).await,
            }
        }
        .boxed()
    }

    /// The functions know nothing of what is owed.
    fn is_single_statement(&self, run: &StoreRequest) -> bool {
        !matches!(run.operation, Operation::Owe)
    }

    fn rows(
        connection: &mut PgConnection,
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
        // One at a time: several servers may start at once. Within one text,
        // all is one transaction.
        let lock = super::sql::number(&self.prefix, "schema").cast_signed();
        format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
             SELECT pg_advisory_xact_lock({lock}); {}",
            schema(&self.prefix)
        )
    }

    fn probe(&self) -> String {
        format!(
            "SELECT 'pass', {0}_pass_1(0, 0, 0, 0, 1, 0, 0, '', '', '', 0, NULL, 0, 0, '{{0,0,0}}')::text; \
             SELECT 'run', {0}_run_1('reset', 0, 0, NULL, 0, 0, '{{}}', '{{}}', '{{}}')::text; \
             SELECT 'read', {0}_read_1('{{}}', '{{}}', '{{}}'); \
             SELECT 'count', {0}_count_1('{{}}', '{{}}', '{{}}', '{{}}')::text; \
             SELECT 'ban', {0}_ban_1('{{}}', '{{}}', '{{}}', '{{}}', '{{}}')::text; \
             SELECT 'bans', count(*)::text FROM {0}_bans WHERE name = ''",
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
               AND expires < {now} FOR UPDATE SKIP LOCKED) RETURNING 1) \
             SELECT 'looked', count(*)::text FROM looked \
             UNION ALL SELECT 'gone', count(*)::text FROM gone \
             UNION ALL SELECT 'last', coalesce(max(name), '') FROM looked"
        )
    }
}

//! PostgreSQL: a function decides a check alone, in one statement. Several at
//! once, or what is owed, are decided in Rust between two round trips: that is
//! slower for one, and several times as fast for many.
//!
//! Statements are sent as text (the simple query protocol): one round trip
//! from the first on, and no prepared statement that a pooler in transaction
//! mode would lose.

mod numbers;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use smallvec::SmallVec;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row, postgres::PgConnectOptions, raw_sql};

use self::numbers::{numbers, read, read_state};
use super::{
    Dialect, Rows, join,
    locked::{self, Locking},
    locks, name,
};
use crate::{
    algorithm::State,
    quota::Algorithm,
    store::shared::{
        SharedStoreBuilder,
        backend::{Backend, Before, Named, Run},
        builder::server_patience,
        naming,
        operation::{Operation, slack},
    },
};

/// How often a transaction is tried that meets others.
const TRIES: usize = 3;

const SCHEMA: &str = concat!(
    include_str!("postgres/tables.sql"),
    "\n",
    include_str!("postgres/slide.sql"),
    "\n",
    include_str!("postgres/run.sql"),
);

struct Postgres {
    options: PgConnectOptions,
    prefix: String,
    /// How long the function may wait for a lock, where the connection has no
    /// such bound itself: behind a pooler.
    patience: Option<Duration>,
}

impl fmt::Debug for Postgres {
    /// Without the options: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

pub(in crate::store::shared) fn schema(prefix: &str) -> String {
    SCHEMA.replace("{prefix}", prefix)
}

pub(in crate::store::shared) async fn connect(
    builder: &SharedStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let options = PgConnectOptions::from_str(&builder.url).map_err(|_| {
        "the URL is none of a PostgreSQL server; write postgres://user:password@host:port/database"
    })?;
    // A pooler would have to be told to let that pass.
    let plain = options.extra_float_digits(None).disable_statement_logging();
    let patience = server_patience(builder.deadline);
    let millis = patience.as_millis().to_string();
    let timeouts = [("statement_timeout", &millis), ("lock_timeout", &millis)];
    let bounded = plain.clone().options(timeouts);
    let postgres = match takes_options(&bounded, &millis).await {
        true => Postgres { options: bounded, prefix: builder.prefix.clone(), patience: None },
        false => {
            Postgres { options: plain, prefix: builder.prefix.clone(), patience: Some(patience) }
        }
    };
    super::connect(postgres, builder, builder.pool_size).await
}

/// Whether a connection keeps the settings that it begins with. A pooler
/// refuses them, or lets them pass unheard.
async fn takes_options(options: &PgConnectOptions, millis: &str) -> bool {
    let ask = async {
        let mut connection = options.connect().await?;
        let sql = "SELECT 'lock_timeout', setting FROM pg_settings WHERE name = 'lock_timeout'";
        Postgres::rows(&mut connection, sql.to_owned()).await
    };
    match tokio::time::timeout(crate::store::shared::builder::PATIENCE, ask).await {
        Ok(Ok(rows)) => rows.iter().any(|(_, setting)| setting == millis),
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
        runs: &'c [Run],
    ) -> BoxFuture<'c, Result<Vec<Before>, sqlx::Error>> {
        async move {
            match runs {
                // Alone, in one round trip.
                [run] if !matches!(run.operation, Operation::Owe) => {
                    self.ask(connection, run).await.map(|before| vec![before])
                }
                runs => locked::transact(self, connection, runs).await,
            }
        }
        .boxed()
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
        let lock = super::number(&self.prefix, "schema").cast_signed();
        format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
             SELECT pg_advisory_xact_lock({lock}); {}",
            schema(&self.prefix)
        )
    }

    fn probe(&self) -> String {
        let nothing = "'reset', 0, 0, NULL, 0, 0, '{}', '{}', '{}'";
        format!(
            "SELECT 'now', {}_run_1({nothing})::text; SELECT 'bans', count(*)::text FROM {0}_bans \
             WHERE name = ''; SELECT 'counters', count(*)::text FROM {0}_counters WHERE name = ''",
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

impl Locking for Postgres {
    async fn begin(
        &self,
        connection: &mut PgConnection,
        locks: &[u64],
        select: &str,
    ) -> Result<Rows, sqlx::Error> {
        let locks = join(locks.iter().map(|lock| lock.cast_signed()));
        let bound = self.patience.map_or_else(String::new, |patience| {
            format!("SET LOCAL lock_timeout = {}; ", patience.as_millis())
        });
        // Whatever the role's default: what is read has to be as of after the locks.
        // So does the clock. And should this server freeze now, they are not held
        // for ever. A handful of rows is looked up by name, even where reading all
        // of a small table seems cheaper to the planner.
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; {bound}SET LOCAL idle_in_transaction_session_timeout = '2s'; \
             SET LOCAL enable_seqscan = off; SELECT count(pg_advisory_xact_lock(l)) FROM unnest('{{{locks}}}'::bigint[]) AS l; \
             SELECT 'now', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text \
             UNION ALL {select}"
        );
        Self::rows(connection, sql).await
    }

    /// A serialization failure or a deadlock.
    fn is_conflict(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| code == "40001" || code == "40P01")
    }

    const STATE: &str = "state::text";

    fn read_states(
        algorithms: impl Iterator<Item = Algorithm>,
        text: &str,
    ) -> SmallVec<[Option<State>; 2]> {
        let numbers = text.trim_matches(['{', '}']).split(',').map(str::parse);
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().unwrap_or_default();
        let states = algorithms.zip(numbers.chunks(4));
        states.map(|(algorithm, numbers)| read_state(algorithm, numbers)).collect()
    }

    fn write_states(states: impl Iterator<Item = Option<State>>) -> String {
        format!("{{{}}}", join(states.flat_map(numbers)))
    }

    /// Of strikes, the function keeps the first three.
    fn write_strikes(state: Option<State>) -> String {
        format!("{{{}}}", join(&numbers(state)[..3]))
    }
}

impl Postgres {
    /// Calls the function.
    async fn ask(&self, connection: &mut PgConnection, run: &Run) -> Result<Before, sqlx::Error> {
        let sql = format!("SELECT {}_run_1({})::text", self.prefix, self.arguments(run));
        let mut tries = 1;
        let answer: String = loop {
            let row = raw_sql(AssertSqlSafe(sql.as_str())).fetch_one(&mut *connection).await;
            match row {
                Ok(row) => break row.try_get(0)?,
                // Rolled back, so that nothing was applied.
                Err(error) if tries < TRIES && Self::is_conflict(&error) => tries += 1,
                Err(error) => return Err(error),
            }
        };
        read(&answer, &run.items).ok_or_else(|| {
            sqlx::Error::Protocol("the function answered in another form".to_owned())
        })
    }

    fn arguments(&self, run: &Run) -> String {
        let names = run
            .items
            .iter()
            .flat_map(|item| naming::parts(item.scope()).map(|part| name(&item.client, &part)));
        format!(
            "'{}', {}, {}, {}::bigint, {}, {}, '{{{}}}', '{{{}}}', '{{{}}}'",
            run.operation.name(),
            run.operation.told_cost(),
            run.operation.duration(),
            run.now.map_or_else(|| "NULL".to_owned(), |now| now.as_micros().to_string()),
            slack(run.now),
            self.patience.map_or(0, |patience| patience.as_millis()),
            join(locks(&self.prefix, std::slice::from_ref(run)).into_iter().map(u64::cast_signed)),
            join(names),
            join(run.operation.numbers(run.items.iter().map(Named::item))),
        )
    }
}

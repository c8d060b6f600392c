//! Connecting to PostgreSQL: the settings of a session, and a pooler in between.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use super::{Postgres, Statements, statement::run_text};
use crate::store::{
    remote::{
        RemoteStoreBuilder,
        backend::Backend,
        builder::{CONNECT_TIMEOUT, server_timeout},
    },
    sql::{self, Dialect, join},
};

/// The longest time that a transaction waits for its client, in milliseconds.
const IDLE_MILLIS: &str = "2000";

pub(in crate::store) async fn connect(
    builder: &RemoteStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let options = PgConnectOptions::from_str(&builder.url).map_err(|_| {
        "the URL is none of a PostgreSQL server; write postgres://user:password@host:port/database"
    })?;
    // A pooler refuses that parameter unless it is configured to ignore it.
    let plain = options.extra_float_digits(None).disable_statement_logging();
    let timeout = server_timeout(builder.timeout);
    let settings = settings(timeout);
    let with_settings = plain.clone().options(settings.iter().map(|(name, value)| (*name, value)));
    let is_pooled = !keeps_settings(&with_settings, &settings).await;
    if is_pooled {
        check_transactions(&plain).await?;
    }
    let postgres = Postgres {
        options: if is_pooled { plain } else { with_settings },
        prefix: builder.prefix.clone(),
        timeout,
        statements: Statements::new(&builder.prefix),
        is_pooled: is_pooled.into(),
        expects_new_keys: false.into(),
    };
    sql::connect(postgres, builder, builder.pool_size).await
}

/// The settings of each session. Locks are not held for ever, should this process
/// freeze. Plans are made once, look rows up by name, and lock them in the order of
/// the names: the planner would else read all of a small table, and go on to once it
/// has grown.
pub(super) fn settings(timeout: Duration) -> [(&'static str, String); 9] {
    let millis = timeout.as_millis().to_string();
    [
        ("statement_timeout", millis.as_str()),
        ("lock_timeout", &millis),
        ("idle_in_transaction_session_timeout", IDLE_MILLIS),
        ("default_transaction_isolation", "read committed"),
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}

/// Returns true if a session keeps the settings that it begins with. A pooler refuses them,
/// or passes them over.
async fn keeps_settings(options: &PgConnectOptions, settings: &[(&str, String)]) -> bool {
    let read = async {
        let mut connection = options.connect().await?;
        let names = join(settings.iter().map(|(name, _)| name));
        let sql = format!("SELECT name, setting FROM pg_settings WHERE name = ANY ('{{{names}}}')");
        Postgres::rows(&mut connection, sql).await
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, read).await {
        Ok(Ok(rows)) => {
            let has = |(name, value): &(&str, String)| {
                rows.iter().any(|(known, setting)| known == name && setting == value)
            };
            settings.iter().all(has)
        }
        Ok(Err(sqlx::Error::Database(_))) => false,
        // A server that stalls is no pooler for that, whose sessions take twice as long for
        // good: the start check finds the fault, and with it the start ends.
        _ => true,
    }
}

/// Fails behind a pooler that lends a connection for one statement.
async fn check_transactions(options: &PgConnectOptions) -> Result<(), String> {
    let begin_and_end = async {
        let mut connection = options.connect().await.ok()?;
        for sql in ["BEGIN", "ROLLBACK"] {
            if let Err(error) = run_text(&mut connection, sql.to_owned()).await {
                return Some(error.to_string());
            }
        }
        None
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, begin_and_end).await {
        Ok(Some(words)) => {
            let (host, port) = (options.get_host(), options.get_port());
            Err(format!(
                "the PostgreSQL server at {host}:{port} cannot be used: {words}; a pooler has to \
                 lend a connection for a transaction: set pool_mode = transaction"
            ))
        }
        // Any other fault is found by the start check.
        _ => Ok(()),
    }
}

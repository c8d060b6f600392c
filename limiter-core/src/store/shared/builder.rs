//! Setting up a shared store.

use std::{fmt, sync::Arc, time::Duration};

use humantime::format_duration;

use super::{Inner, SharedStore, backend::Backend, naming::Naming};
use crate::{error::ConfigError, store::choice::Database, time::Clock};

/// How long one call may take unless told otherwise.
const DEADLINE: Duration = Duration::from_millis(100);

/// The longest deadline: no client waits that long.
const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// How long it may take to connect.
pub(in crate::store::shared) const PATIENCE: Duration = Duration::from_secs(2);

/// Connections to a SQL server, unless told otherwise.
const POOL_SIZE: usize = 4;

/// Sets up a [`SharedStore`].
#[derive(Clone)]
#[must_use]
pub struct SharedStoreBuilder {
    pub(super) url: String,
    pub(super) prefix: String,
    pub(super) deadline: Duration,
    pub(super) pool_size: usize,
    pub(super) migrate: bool,
    secret: Vec<u8>,
    pub(super) clock: Option<Arc<dyn Clock>>,
}

impl SharedStoreBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "limiter".to_owned(),
            deadline: DEADLINE,
            pool_size: POOL_SIZE,
            migrate: true,
            secret: Vec::new(),
            clock: None,
        }
    }

    /// What the names of keys (Redis) or tables (SQL) begin with: lower-case
    /// letters, digits and `_`; in SQL after a schema and a dot, if need be.
    /// Defaults to `limiter`.
    pub fn prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// Under which secret keys are digested that may be secret, or are long or
    /// odd. All servers that share a store need the same. Defaults to none:
    /// then who reads the store can try out what a digest stands for.
    pub fn key_secret(self, secret: impl Into<Vec<u8>>) -> Self {
        Self { secret: secret.into(), ..self }
    }

    /// How long one call may take, a millisecond to a minute. Defaults to
    /// 100 ms. The server is told to give up a little earlier.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Connections to a PostgreSQL, MySQL or MariaDB server, 1 to 1000.
    /// Defaults to 4. (A Redis connection serves any number of calls at once,
    /// SQLite has one writer.)
    pub fn pool_size(self, pool_size: usize) -> Self {
        Self { pool_size, ..self }
    }

    /// Whether to make tables and functions that are missing. Defaults to
    /// true. Where the role of the servers may not, let another role run what
    /// [`schema`](Self::schema) says.
    pub fn migrate(self, migrate: bool) -> Self {
        Self { migrate, ..self }
    }

    /// Takes the time from `clock`. Defaults to the database server's.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// The SQL that makes the tables and functions, as
    /// [`migrate`](SharedStore::migrate) runs it; empty for Redis.
    ///
    /// # Errors
    /// If the URL or the prefix is wrong.
    pub fn schema(&self) -> Result<String, ConfigError> {
        match self.check()? {
            #[cfg(feature = "redis")]
            Database::Redis => Ok(String::new()),
            #[cfg(feature = "postgres")]
            Database::Postgres => Ok(super::sql::postgres::schema(&self.prefix)),
            #[cfg(feature = "mysql")]
            Database::MySql => Ok(super::sql::mysql::schema(&self.prefix)),
            #[cfg(feature = "sqlite")]
            Database::Sqlite => Ok(super::sql::sqlite::schema(&self.prefix)),
        }
    }

    /// Connects, and makes the store.
    ///
    /// # Errors
    /// If the URL or another setting is wrong, the server does not answer, or
    /// tables are missing and cannot be made.
    ///
    /// # Panics
    /// Outside of a Tokio runtime. It has to outlive the store.
    pub async fn connect(self) -> Result<SharedStore, ConfigError> {
        let database = self.check()?;
        let backend: Result<Arc<dyn Backend>, String> = match database {
            #[cfg(feature = "redis")]
            Database::Redis => super::redis::connect(&self).await,
            #[cfg(feature = "postgres")]
            Database::Postgres => super::sql::postgres::connect(&self).await,
            #[cfg(feature = "mysql")]
            Database::MySql => super::sql::mysql::connect(&self).await,
            #[cfg(feature = "sqlite")]
            Database::Sqlite => super::sql::sqlite::connect(&self).await,
        };
        Ok(SharedStore(Arc::new(Inner {
            backend: backend.map_err(|reason| ConfigError::at("store", reason))?,
            naming: Naming::new(&self.secret),
            deadline: self.deadline,
            clock: self.clock,
        })))
    }

    /// Which database, once all settings have been found right.
    pub(crate) fn check(&self) -> Result<Database, ConfigError> {
        let database = Database::of(&self.url).map_err(|error| error.within("store"))?;
        database.check_prefix(&self.prefix)?;
        if !(1..=1_000).contains(&self.pool_size) {
            let message = format!("is {}; write 1 to 1000", self.pool_size);
            return Err(ConfigError::at("pool_size", message));
        }
        if self.deadline < Duration::from_millis(1) || self.deadline > MAX_DEADLINE {
            let message = format!(
                "is {}; write 1ms to 1m, such as \"100ms\"",
                format_duration(self.deadline)
            );
            return Err(ConfigError::at("deadline", message));
        }
        Ok(database)
    }
}

/// How long a server may take, so that its own answer comes before the
/// deadline.
pub(in crate::store::shared) fn server_patience(deadline: Duration) -> Duration {
    (deadline * 4 / 5).max(Duration::from_millis(1))
}

impl fmt::Debug for SharedStoreBuilder {
    /// Without the URL and the secret: they may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStoreBuilder")
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .field("pool_size", &self.pool_size)
            .field("migrate", &self.migrate)
            .finish_non_exhaustive()
    }
}

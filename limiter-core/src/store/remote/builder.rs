//! Set-up of a remote store: [`RemoteStoreBuilder`].

use std::{fmt, sync::Arc, time::Duration};

use humantime::format_duration;

use crate::{
    error::ConfigError,
    events::StoreObservers,
    store::{circuit_breaker::BreakerSettings, database_kind::Database},
    time::Clock,
};

/// The default of the longest time that one call may take.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(100);

/// The longest timeout: no client waits that long.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it may take to connect.
pub(in crate::store) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The default number of connections to a SQL server.
const POOL_SIZE: usize = 4;

/// Sets up a [`RemoteStore`](crate::RemoteStore).
#[derive(Clone)]
#[must_use]
pub struct RemoteStoreBuilder {
    pub(in crate::store) url: String,
    pub(in crate::store) prefix: String,
    pub(in crate::store) timeout: Duration,
    pub(in crate::store) pool_size: usize,
    pub(in crate::store) migrate: bool,
    pub(super) secret: Vec<u8>,
    pub(in crate::store) clock: Option<Arc<dyn Clock>>,
    /// The observers of one store: another one that a clone connects has its own.
    pub(in crate::store) observers: Arc<StoreObservers>,
}

impl RemoteStoreBuilder {
    pub(in crate::store) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "limiter".to_owned(),
            timeout: DEFAULT_TIMEOUT,
            pool_size: POOL_SIZE,
            migrate: true,
            secret: Vec::new(),
            clock: None,
            observers: Arc::default(),
        }
    }

    /// Sets the prefix of the names of keys (Redis) or tables (SQL): lower-case
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
    /// 100 ms. The server's own timeout is set a little shorter.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Connections to a PostgreSQL, MySQL or MariaDB server, 1 to 1000.
    /// Defaults to 4. (A Redis connection serves any number of calls at once,
    /// SQLite has one writer.)
    pub fn pool_size(self, pool_size: usize) -> Self {
        Self { pool_size, ..self }
    }

    /// Sets if tables that are missing are made. Defaults to
    /// true. Where the role of the servers may not, let another role run what
    /// [`schema`](Self::schema) says.
    pub fn migrate(self, migrate: bool) -> Self {
        Self { migrate, ..self }
    }

    /// Takes the time from `clock`. Defaults to the database server's.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Returns what the circuit breakers of its servers have in common.
    pub(in crate::store) fn breaker_settings(&self) -> BreakerSettings {
        BreakerSettings { timeout: self.timeout, observers: Arc::clone(&self.observers) }
    }

    /// Returns the database, if all settings are right.
    pub(crate) fn check(&self) -> Result<Database, ConfigError> {
        let database = Database::of(&self.url).map_err(|error| error.within("store"))?;
        super::url::check(database, &self.url).map_err(|error| error.within("store"))?;
        database.check_prefix(&self.prefix)?;
        if !(1..=1_000).contains(&self.pool_size) {
            let message = format!("is {}; write 1 to 1000", self.pool_size);
            return Err(ConfigError::at("pool_size", message));
        }
        if self.timeout < Duration::from_millis(1) || self.timeout > MAX_TIMEOUT {
            let message =
                format!("is {}; write 1ms to 1m, such as \"100ms\"", format_duration(self.timeout));
            return Err(ConfigError::at("timeout", message));
        }
        Ok(database)
    }
}

/// How long a server may take, so that its own answer comes before the
/// timeout.
pub(in crate::store) fn server_timeout(timeout: Duration) -> Duration {
    (timeout * 4 / 5).max(Duration::from_millis(1))
}

impl fmt::Debug for RemoteStoreBuilder {
    /// Without the URL and the secret: they may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStoreBuilder")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("pool_size", &self.pool_size)
            .field("migrate", &self.migrate)
            .finish_non_exhaustive()
    }
}

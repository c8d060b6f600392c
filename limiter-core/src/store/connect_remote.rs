//! Connects a remote store to the database of its URL.

use std::sync::Arc;

use super::{
    database_kind::Database,
    remote::{RemoteStore, RemoteStoreBuilder, backend::Backend, store_thread::StoreThread},
};
use crate::error::{ConfigError, ConfigErrorKind};

impl RemoteStoreBuilder {
    /// Returns the SQL that makes the tables, as
    /// [`migrate`](RemoteStore::migrate) runs it; empty for Redis.
    ///
    /// # Errors
    /// If the URL or the prefix is wrong.
    pub fn schema(&self) -> Result<String, ConfigError> {
        match self.check()? {
            #[cfg(feature = "redis")]
            Database::Redis => Ok(String::new()),
            #[cfg(feature = "postgres")]
            Database::Postgres => Ok(super::postgres::schema(&self.prefix)),
            #[cfg(feature = "mysql")]
            Database::MySql => Ok(super::mysql::schema(&self.prefix)),
            #[cfg(feature = "sqlite")]
            Database::Sqlite => Ok(super::sqlite::schema(&self.prefix)),
        }
    }

    /// Connects, and makes the store.
    ///
    /// # Errors
    /// If the URL or another setting is wrong, the server does not answer, or
    /// tables are missing and cannot be made.
    pub async fn connect(mut self) -> Result<RemoteStore, ConfigError> {
        let database = self.check()?;
        self.observers = Arc::default();
        let thread = StoreThread::start().map_err(failed)?;
        let builder = self.clone();
        let backend = thread.run(async move { connect(database, &builder).await }).await;
        Ok(RemoteStore::new(backend.map_err(failed)?.map_err(failed)?, self, thread))
    }
}

/// Connects to the database, and does there once what a check does.
async fn connect(
    database: Database,
    builder: &RemoteStoreBuilder,
) -> Result<Arc<dyn Backend>, String> {
    let backend = match database {
        #[cfg(feature = "redis")]
        Database::Redis => super::redis::connect(builder).await?,
        #[cfg(feature = "postgres")]
        Database::Postgres => super::postgres::connect(builder).await?,
        #[cfg(feature = "mysql")]
        Database::MySql => super::mysql::connect(builder).await?,
        #[cfg(feature = "sqlite")]
        Database::Sqlite => super::sqlite::connect(builder).await?,
    };
    backend.probe().await.map_err(|error| error.to_string())?;
    Ok(backend)
}

fn failed(reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::of_kind(ConfigErrorKind::Store, reason).within("store")
}

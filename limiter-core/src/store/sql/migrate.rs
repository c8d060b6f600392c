//! The migration of a SQL database: checks that the tables are there, and makes them.
//!
//! Input: the statements of the [`Dialect`]. Output: an error with the database's own words
//! and what to do.

use super::{Dialect, LONG_TIMEOUT, Sql, TextRows, error::SqlError};

impl<D: Dialect> Sql<D> {
    /// Makes the tables if some are missing and `migrate` allows it.
    pub(super) async fn check_tables(&self, migrate: bool) -> Result<(), String> {
        let checked = self.pool.rows(LONG_TIMEOUT, self.dialect.probe()).await;
        match checked {
            Ok(_) => Ok(()),
            Err(error) if error.is_missing && migrate => {
                let made = self.make_tables().await;
                made.map(|_| ()).map_err(|error| {
                    self.explain("does not let the tables be made", &error.to_string())
                })
            }
            Err(error) => Err(self.explain("cannot be used", &error.to_string())),
        }
    }

    /// Makes the tables that are missing.
    pub(super) async fn make_tables(&self) -> Result<TextRows, SqlError> {
        self.pool.rows(LONG_TIMEOUT, self.dialect.schema()).await
    }
}

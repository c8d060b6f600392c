//! Why work was not done, or not in time.

use std::{error::Error as StdError, fmt};

use sqlx::error::DatabaseError;
#[cfg(feature = "mysql")]
use sqlx::mysql::MySqlDatabaseError;

/// Why work was not done, or not in time.
#[derive(Debug)]
pub(in crate::store) struct SqlError {
    message: String,
    /// True if the connection can be used again: the database said no, and has
    /// ended the transaction.
    pub(in crate::store) is_healthy: bool,
    /// True if nothing was done: it has not begun, or was rolled back.
    pub(in crate::store) did_nothing: bool,
    /// True if the server has closed the connection: another one may serve.
    pub(in crate::store) is_closed: bool,
    /// True if tables or functions are missing.
    pub(in crate::store) is_missing: bool,
    source: Option<sqlx::Error>,
}

impl SqlError {
    pub(in crate::store) fn new(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            is_healthy: false,
            did_nothing: true,
            is_closed: false,
            is_missing: false,
            source: None,
        }
    }

    /// It has not begun in time.
    pub(in crate::store) fn late() -> Self {
        Self::new("it did not answer in time")
    }

    /// It has begun, and whether it comes to its end is not known.
    pub(in crate::store) fn unfinished() -> Self {
        Self { did_nothing: false, ..Self::late() }
    }

    /// A connection that could not be made.
    pub(in crate::store) fn unconnected(error: sqlx::Error) -> Self {
        Self { is_closed: false, ..Self::unwritten(error) }
    }

    /// A step that ended before anything was written that could be committed.
    pub(in crate::store) fn unwritten(error: sqlx::Error) -> Self {
        Self { did_nothing: true, ..Self::from(error) }
    }

    /// A step that ended after a part of its batch was applied.
    pub(in crate::store) fn partly_applied(self) -> Self {
        Self { did_nothing: false, ..self }
    }

    /// Returns the error of sqlx, if it is one.
    pub(in crate::store) const fn source(&self) -> Option<&sqlx::Error> {
        self.source.as_ref()
    }
}

impl From<sqlx::Error> for SqlError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
        let is_missing = matches!(&*code, "42P01" | "42883" | "3F000" | "42S02")
            || error.to_string().contains("no such table");
        let text = error.to_string();
        let wants_tls = matches!(error, sqlx::Error::Tls(_)) || text.contains("RSA");
        let message = match is_missing {
            false if wants_tls && !cfg!(feature = "tls") => {
                format!("{text}; enable the feature \"tls\"")
            }
            // MySQL asks for the password in clear.
            false if text.contains("RSA") => format!("{text}; add ?ssl-mode=REQUIRED to the URL"),
            true => format!(
                "tables or functions of the store are missing or of another version ({error}); \
                 leave out `migrate = false`, or let a role that may make them run what \
                 RemoteStoreBuilder::schema() says"
            ),
            false => text,
        };
        // PostgreSQL ends connections with 57P.., and 08... are broken. Who may not write
        // is no primary any more: another connection may find it.
        let is_killed = is_killed(&error);
        let is_closed = matches!(error, sqlx::Error::Io(_)) || code.starts_with("57P") || is_killed;
        let is_database = matches!(error, sqlx::Error::Database(_));
        let is_healthy = is_database
            && !is_closed
            && !code.starts_with("08")
            && code != "25006"
            && !error.to_string().contains("read-only");
        // A pooler says 08... when the server's connection ends beneath a statement.
        let did_nothing = is_database && !code.starts_with("08") && !is_killed;
        Self { message, is_healthy, did_nothing, is_closed, is_missing, source: Some(error) }
    }
}

/// Returns whether MariaDB has ended the connection, on somebody's command. Its SQLSTATE
/// is also that of a statement that took too long.
fn is_killed(error: &sqlx::Error) -> bool {
    #[cfg(feature = "mysql")]
    {
        const CONNECTION_KILLED: u16 = 1927;
        let error = error.as_database_error();
        let error = error.and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
        error.is_some_and(|error| error.number() == CONNECTION_KILLED)
    }
    #[cfg(not(feature = "mysql"))]
    {
        let _ = error;
        false
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for SqlError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as &(dyn StdError + 'static))
    }
}

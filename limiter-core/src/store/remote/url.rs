//! Checks of a store's URL before the client library of its database reads it.
//!
//! Input: the URL. Output: an error that says what to write, without any part of
//! the URL, since each may be a password. The libraries skip an unknown parameter,
//! or write its value to the log; and where a password holds one of `/?#`, they
//! take its user for the host, which messages name.

use crate::{error::ConfigError, store::database_kind::Database};

/// Returns an error if the URL has a parameter that its database does not read,
/// or characters behind its host that belong into a password.
pub(super) fn check(database: Database, url: &str) -> Result<(), ConfigError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let Some(known) = parameters(database, scheme) else { return check_path(rest) };
    let (rest, fragment) = split(rest, '#');
    let (address, query) = split(rest, '?');
    let (_, path) = split(address, '/');
    // The redis crate reads this one, of a single server.
    let is_insecure = scheme == "rediss" && fragment == Some("insecure");
    let is_misplaced = |part: Option<&str>| part.is_some_and(|part| part.contains('@'));
    if is_misplaced(path) || is_misplaced(query) || (fragment.is_some() && !is_insecure) {
        return Err(ConfigError::new(
            "the URL has an \"@\" or a \"#\" behind its host; write / as %2F, ? as %3F, # as %23 \
             and @ as %40 in users, passwords and names",
        ));
    }
    let pairs = query.into_iter().flat_map(|query| query.split('&')).zip(1..);
    for (pair, position) in pairs.filter(|(pair, _)| !pair.is_empty()) {
        let (name, _) = split(pair, '=');
        if !(known.contains(&name) || known.contains(&"options") && name.starts_with("options[")) {
            return Err(unknown(database, position, known));
        }
    }
    Ok(())
}

/// Returns an error if the URL of a file names none: SQLite would make one that is gone
/// with its connection.
fn check_path(path: &str) -> Result<(), ConfigError> {
    if split(path, '?').0.trim_matches('/').is_empty() {
        return Err(ConfigError::new("the URL names no file; write sqlite:///path/to/file"));
    }
    Ok(())
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// The parameter is named by its position: without a `=`, or with a `?` in a
/// password, its name is a secret, too.
fn unknown(database: Database, position: usize, known: &[&str]) -> ConfigError {
    let database_number = match database {
        #[cfg(feature = "redis")]
        Database::Redis if !known.contains(&"db") => {
            "; the number of a database is part of the path: redis://host:port/2, \
             redis-sentinel://host:port/service/2"
        }
        #[allow(unreachable_patterns, reason = "where Redis alone is compiled in")]
        _ => "",
    };
    ConfigError::new(format!(
        "parameter {position} of the URL is unknown; leave it out, or write one of \
         {}{database_number}",
        known.join(", ")
    ))
}

/// The parameters that a database's client library reads. `None` for SQLite,
/// whose library refuses others itself, and whose URL is a path.
#[cfg_attr(
    not(feature = "redis"),
    allow(unused_variables, reason = "only a socket of Redis has parameters of its own")
)]
fn parameters(database: Database, scheme: &str) -> Option<&'static [&'static str]> {
    match database {
        #[cfg(feature = "redis")]
        Database::Redis if scheme.ends_with("unix") => Some(&["db", "user", "pass", "protocol"]),
        #[cfg(feature = "redis")]
        Database::Redis => Some(&["protocol"]),
        #[cfg(feature = "postgres")]
        Database::Postgres => Some(POSTGRES),
        #[cfg(feature = "mysql")]
        Database::MySql => Some(MYSQL),
        #[cfg(feature = "sqlite")]
        Database::Sqlite => None,
    }
}

#[cfg(feature = "postgres")]
const POSTGRES: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
];

#[cfg(feature = "mysql")]
const MYSQL: &[&str] = &[
    "socket",
    "charset",
    "collation",
    "timezone",
    "time-zone",
    "statement-cache-capacity",
    "sslmode",
    "ssl-mode",
    "sslca",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
];

//! The trait of a SQL database that keeps state: [`Dialect`].

#[cfg(any(feature = "mysql", feature = "postgres"))]
use std::fmt::Write as _;
use std::{fmt, time::Duration};

use futures_core::future::BoxFuture;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use sha2::{Digest, Sha256};

use super::{error::SqlError, fast_path::FastPath};
use crate::{
    error::StoreError,
    store::remote::{backend::Reply, batcher::BatchEntry, builder},
};

/// Two columns, as text.
pub(in crate::store) type TextRows = Vec<(String, String)>;

/// The state before each entry of a batch, where it was charged.
pub(in crate::store) type Charged = Vec<Option<Reply>>;

/// One kind of database.
pub(in crate::store) trait Dialect: fmt::Debug + Send + Sync + 'static {
    type Connection: sqlx::Connection;

    /// The longest time that a connection may take to be made.
    const CONNECT_TIMEOUT: Duration = builder::CONNECT_TIMEOUT;

    /// A connection that was idle that long is pinged before it is used. Under load none
    /// is; where checks are rare, one waits for a round trip more, and is not lost.
    const FRESH: Duration = Duration::from_millis(10);

    fn connect(&self) -> BoxFuture<'_, Result<Self::Connection, sqlx::Error>>;

    /// Charges in one round trip those checks of the [fast path](super::fast_path) that fit, and
    /// writes the replies to them. The others are left to [`run`](Self::run).
    fn charge<'c>(
        &'c self,
        connection: &'c mut Self::Connection,
        checks: FastPath,
        replies: &'c mut Charged,
    ) -> BoxFuture<'c, Result<(), SqlError>>;

    /// Decides the entries, one after the other, and returns the state before each.
    /// No transaction is left open, whatever the database answers.
    fn run<'c>(
        &'c self,
        connection: &'c mut Self::Connection,
        batch: &'c [BatchEntry],
    ) -> BoxFuture<'c, Result<Vec<Reply>, SqlError>>;

    /// Runs statements, and returns all rows of two columns.
    fn rows(
        connection: &mut Self::Connection,
        sql: String,
    ) -> BoxFuture<'_, Result<TextRows, sqlx::Error>>;

    /// Returns whether others held the locks for as long as a check may take.
    fn is_locked(_: &StoreError) -> bool {
        false
    }

    /// The server and the database in words, with host and port, and no password.
    fn server(&self) -> String;

    /// Returns the prefix of the names of tables.
    fn prefix(&self) -> &str;

    /// The SQL that makes tables and functions.
    fn schema(&self) -> String;

    /// SQL that fails where they are missing.
    fn probe(&self) -> String;

    /// The present instant in microseconds, as SQL.
    fn now(&self) -> String;

    /// SQL that looks at up to `limit` rows of a table behind a name, and
    /// removes those that have expired by `now`. Answers with "looked" and how
    /// many these are, "gone" and how many these were, "last" and its name.
    fn sweep(&self, table: &str, behind: &str, limit: usize, now: &str) -> String;
}

/// A row's name. Names are put into SQL as they are: all of their characters
/// are plain.
pub(in crate::store) fn name(client: &str, part: &str) -> String {
    debug_assert!(client.bytes().all(is_simple), "{client:?}");
    [part, ":", client].concat()
}

/// Returns true if the character may be in a name: no quote, backslash, brace or comma.
pub(in crate::store) fn is_simple(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./:=&#*".contains(&byte)
}

/// Returns a statement without its comments, in one line: each execution hashes the text to find
/// what was prepared, or sends it.
pub(in crate::store) fn without_comments(sql: &str) -> String {
    let code = sql.lines().map(str::trim).filter(|line| !line.starts_with("--"));
    let code = code.collect::<Vec<_>>().join(" ");
    debug_assert!(!code.contains("--"), "it would take out all behind it: {code}");
    code
}

/// Values with commas between.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(in crate::store) fn join<T: fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{value}");
    }
    text
}

/// Returns a number for a text, by which a database can lock what it names.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(in crate::store) fn number(text: &str) -> u64 {
    let digest = Sha256::new().chain_update(text);
    digest.finalize()[..8].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

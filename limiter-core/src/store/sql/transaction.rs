//! The general form of a store request: reads rows, decides by the pure functions,
//! and writes what has become of the rows, in one atomic step.
//!
//! Input: store requests. Output: the state before each of them, from which the
//! caller derives the decision. MySQL and SQLite lock before they read; PostgreSQL
//! compares versions as it writes, and locks where that has failed.

use super::{Dialect, error::SqlError, name};
use crate::{
    store::remote::{
        apply_request::Apply,
        backend::{Reply, parse_ban},
        batcher::BatchEntry,
        counter_states::CounterStates,
        state_rows::{Changes, LoadedRows, Rows},
    },
    time::Timestamp,
};

/// A database in which rows are read in one round trip and written in another.
pub(in crate::store) trait Transactional: Dialect {
    /// Reads the rows, in a transaction where an attempt [is one](Self::locks).
    async fn read(
        &self,
        connection: &mut Self::Connection,
        rows: &Rows<'_>,
        attempt: usize,
    ) -> Result<LoadedRows, sqlx::Error>;

    /// Writes all changes and ends the transaction. Returns false where a row was
    /// changed by another since it was read: then nothing was written.
    async fn write(
        &self,
        connection: &mut Self::Connection,
        changes: &Changes<'_>,
        attempt: usize,
    ) -> Result<bool, sqlx::Error>;

    /// Returns true if an attempt locks the rows from reading to writing, in a transaction.
    fn locks(_attempt: usize) -> bool {
        true
    }

    /// Returns true if nothing was written because of another transaction, so that one more
    /// attempt may succeed.
    fn is_conflict(error: &sqlx::Error) -> bool;

    /// Reads the states of a counter or of strikes.
    fn read_states(text: &str) -> CounterStates;
}

/// How often a step is tried that conflicts with other transactions. Where every second
/// write conflicts, one step in 65,536 is given up; the deadline bounds it, too.
const MAX_ATTEMPTS: usize = 16;

/// How often a whole batch is tried. After that its entries are decided one by one:
/// the more rows a step writes, the likelier it conflicts.
const MAX_BATCH_ATTEMPTS: usize = 3;

/// A step that was not done.
struct Failed {
    error: SqlError,
    /// True if other transactions were in the way each time.
    is_conflict: bool,
}

/// Decides the entries of a batch one after the other, in one atomic step; or each in
/// a step of its own, if the whole conflicts with other transactions again and again.
pub(in crate::store) async fn transact<D: Transactional>(
    dialect: &D,
    connection: &mut D::Connection,
    batch: &[BatchEntry],
) -> Result<Vec<Reply>, SqlError> {
    let max_attempts = if batch.len() > 1 { MAX_BATCH_ATTEMPTS } else { MAX_ATTEMPTS };
    match transact_together(dialect, connection, batch, max_attempts).await {
        Ok(replies) => Ok(replies),
        Err(failed) if failed.is_conflict && batch.len() > 1 => {
            transact_one_by_one(dialect, connection, batch).await
        }
        Err(failed) => Err(failed.error),
    }
}

async fn transact_one_by_one<D: Transactional>(
    dialect: &D,
    connection: &mut D::Connection,
    batch: &[BatchEntry],
) -> Result<Vec<Reply>, SqlError> {
    let mut replies = Vec::with_capacity(batch.len());
    for entry in batch.chunks(1) {
        match transact_together(dialect, connection, entry, MAX_ATTEMPTS).await {
            Ok(reply) => replies.extend(reply),
            Err(failed) if replies.is_empty() => return Err(failed.error),
            Err(failed) => return Err(failed.error.partly_applied()),
        }
    }
    Ok(replies)
}

/// Decides all entries in one atomic step.
async fn transact_together<D: Transactional>(
    dialect: &D,
    connection: &mut D::Connection,
    batch: &[BatchEntry],
    max_attempts: usize,
) -> Result<Vec<Reply>, Failed> {
    let mut attempt = 0;
    loop {
        let result = attempt_once(dialect, connection, batch, attempt).await;
        let (is_conflict, error) = match result {
            Ok(Some(replies)) => return Ok(replies),
            Ok(None) => (true, SqlError::new("its rows change all the time")),
            Err(error) => match error.source() {
                Some(source @ sqlx::Error::Database(_)) => (D::is_conflict(source), error),
                _ => return Err(Failed { error, is_conflict: false }),
            },
        };
        if D::locks(attempt) {
            // The database may have ended the transaction already.
            let _ = D::rows(connection, "ROLLBACK".to_owned()).await;
        }
        attempt += 1;
        if !is_conflict || attempt == max_attempts {
            return Err(Failed { error, is_conflict });
        }
    }
}

/// Returns `None` where a row was changed by another meanwhile.
async fn attempt_once<D: Transactional>(
    dialect: &D,
    connection: &mut D::Connection,
    batch: &[BatchEntry],
    attempt: usize,
) -> Result<Option<Vec<Reply>>, SqlError> {
    let (mut rows, places) = Rows::of(batch.iter().map(|entry| &*entry.request), &name);
    let loaded = dialect.read(connection, &rows, attempt).await.map_err(SqlError::unwritten)?;
    let server_now = loaded.now.map(Timestamp::from_micros);
    rows.fill(loaded, |text| D::read_states(text), |text| parse_ban(text));
    let mut replies = Vec::with_capacity(batch.len());
    for (entry, places) in batch.iter().zip(&places) {
        let request = &entry.request;
        let now = request
            .now
            .or(server_now)
            .ok_or_else(|| SqlError::new("the database answered without the time"))?;
        let before = rows.kept(request, places, now);
        let mut is_changed = Apply::new(&mut rows, request, now).perform(places, &before);
        for request in entry.requests().skip(1) {
            if !is_changed && entry.settlements.is_empty() {
                // The same request again changes nothing either.
                break;
            }
            let before = rows.kept(request, places, now);
            is_changed = Apply::new(&mut rows, request, now).perform(places, &before);
        }
        replies.push(Reply { now, kept: before });
    }
    let changes = rows.changes();
    // A transaction has to be ended, whatever there is to write.
    let written = if changes.is_empty() && !D::locks(attempt) {
        true
    } else {
        dialect.write(connection, &changes, attempt).await?
    };
    Ok(written.then_some(replies))
}

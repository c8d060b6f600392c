//! Databases that keep state and leave the deciding to Rust: a transaction
//! locks the clients, reads what is kept, and writes what has become of it.

mod apply;
mod rows;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(in crate::store) mod statements;

pub(in crate::store) use self::rows::{Changes, CounterRow, Names, States};
use self::{apply::Apply, rows::Rows};
use super::{Dialect, locks};
use crate::{
    quota::Algorithm,
    store::remote::backend::{Reply, StoreRequest},
    time::Timestamp,
};

/// A database whose rows are locked and read in one round trip, and written in
/// another.
pub(in crate::store) trait Transactional: Dialect {
    /// Begins a transaction that has locked these numbers, and reads rows.
    async fn begin(
        &self,
        connection: &mut Self::Connection,
        locks: &[u64],
        names: &Names<'_>,
    ) -> Result<LoadedRows, sqlx::Error>;

    /// Writes, and ends the transaction.
    async fn commit(
        &self,
        connection: &mut Self::Connection,
        changes: &Changes<'_>,
    ) -> Result<(), sqlx::Error>;

    /// Whether the transaction was rolled back, so that it can be tried again.
    fn is_conflict(error: &sqlx::Error) -> bool;

    /// Reads the states of a counter or of strikes, one an algorithm.
    fn read_states(algorithms: impl Iterator<Item = Algorithm>, text: &str) -> States;
}

/// What a transaction has found: rows as text, in the order of the names.
pub(in crate::store) struct LoadedRows {
    /// The instant once the locks were held, in microseconds.
    pub(in crate::store) now: Option<u64>,
    pub(in crate::store) counters: Vec<Option<String>>,
    pub(in crate::store) bans: Vec<Option<String>>,
}

/// How often a transaction is tried that meets others.
const MAX_ATTEMPTS: usize = 4;

/// Does what is asked in one transaction, and leaves none open.
pub(in crate::store) async fn transact<D: Transactional>(
    dialect: &D,
    connection: &mut D::Connection,
    runs: &[StoreRequest],
) -> Result<Vec<Reply>, sqlx::Error> {
    let mut tries = 1;
    loop {
        let result = transact_once(dialect, connection, runs).await;
        if !matches!(result, Err(sqlx::Error::Database(_))) {
            return result;
        }
        // A database may have ended the transaction already.
        let _ = D::rows(connection, "ROLLBACK".to_owned()).await;
        if tries == MAX_ATTEMPTS || !result.as_ref().is_err_and(D::is_conflict) {
            return result;
        }
        tries += 1;
    }
}

async fn transact_once<D: Transactional>(
    dialect: &D,
    connection: &mut D::Connection,
    runs: &[StoreRequest],
) -> Result<Vec<Reply>, sqlx::Error> {
    let (mut rows, places) = Rows::of(runs);
    let locks = locks(dialect.prefix(), rows.clients());
    let found = dialect.begin(connection, &locks, &rows.names()).await?;
    let theirs = found.now.map(Timestamp::from_micros);
    rows.fill::<D>(found);
    let mut answers = Vec::with_capacity(runs.len());
    for (run, places) in runs.iter().zip(&places) {
        let now = run.now.or(theirs).ok_or_else(|| {
            sqlx::Error::Protocol("the database answered without the time".to_owned())
        })?;
        let kept = places.iter().map(|places| rows.kept(*places, now)).collect();
        let before = Reply { now, kept };
        Apply::new(&mut rows, run, now).perform(places, &before.kept);
        answers.push(before);
    }
    dialect.commit(connection, &rows.changes()).await?;
    Ok(answers)
}

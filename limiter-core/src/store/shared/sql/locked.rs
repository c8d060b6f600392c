//! Databases that keep state and leave the deciding to Rust: a transaction
//! locks the clients, reads what is kept, and writes what has become of it.

mod decide;
mod rows;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) mod text;

pub(super) use self::rows::{Changes, Counted, Names, States};
use self::{decide::Step, rows::Rows};
use super::{Dialect, locks};
use crate::{
    quota::Algorithm,
    store::shared::backend::{Before, Run},
    time::Timestamp,
};

/// A database whose rows are locked and read in one round trip, and written in
/// another.
pub(super) trait Locking: Dialect {
    /// Begins a transaction that has locked these numbers, and reads rows.
    async fn begin(
        &self,
        connection: &mut Self::Connection,
        locks: &[u64],
        names: &Names<'_>,
    ) -> Result<Found, sqlx::Error>;

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
pub(super) struct Found {
    /// The instant once the locks were held, in microseconds.
    pub(super) now: Option<u64>,
    pub(super) counters: Vec<Option<String>>,
    pub(super) bans: Vec<Option<String>>,
}

/// How often a transaction is tried that meets others.
const TRIES: usize = 4;

/// Does what is asked in one transaction, and leaves none open.
pub(super) async fn transact<D: Locking>(
    dialect: &D,
    connection: &mut D::Connection,
    runs: &[Run],
) -> Result<Vec<Before>, sqlx::Error> {
    let mut tries = 1;
    loop {
        let result = transact_once(dialect, connection, runs).await;
        if !matches!(result, Err(sqlx::Error::Database(_))) {
            return result;
        }
        // A database may have ended the transaction already.
        let _ = D::rows(connection, "ROLLBACK".to_owned()).await;
        if tries == TRIES || !result.as_ref().is_err_and(D::is_conflict) {
            return result;
        }
        tries += 1;
    }
}

async fn transact_once<D: Locking>(
    dialect: &D,
    connection: &mut D::Connection,
    runs: &[Run],
) -> Result<Vec<Before>, sqlx::Error> {
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
        let before = Before { now, kept };
        Step::new(&mut rows, run, now).perform(places, &before.kept);
        answers.push(before);
    }
    dialect.commit(connection, &rows.changes()).await?;
    Ok(answers)
}

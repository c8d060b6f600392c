//! Databases that keep state and leave the deciding to Rust: a transaction
//! locks the clients, reads what is kept, and writes what has become of it.

mod writes;

use std::collections::HashMap;

use smallvec::SmallVec;

use self::writes::Writes;
use super::{Dialect, Rows, locks, name};
use crate::{
    algorithm::State,
    quota::{Algorithm, Quota},
    store::shared::{
        backend::{Before, Kept, Named, Run, parse_ban},
        naming, wire,
    },
    time::Timestamp,
};

/// A database whose rows are locked and read in one round trip, and written in
/// another.
pub(super) trait Locking: Dialect {
    /// How an INSERT goes on to replace the columns of a row that is there.
    fn replacing(columns: &[&str]) -> String {
        let replaced = columns.iter().map(|column| format!("{column}=excluded.{column}"));
        format!("ON CONFLICT (name) DO UPDATE SET {}", super::join(replaced))
    }

    /// Begins a transaction that has locked these numbers, runs `select`, and
    /// answers with its rows and one more: "now", and the instant once the
    /// locks were held.
    async fn begin(
        &self,
        connection: &mut Self::Connection,
        locks: &[u64],
        select: &str,
    ) -> Result<Rows, sqlx::Error>;

    /// Whether the transaction was rolled back, so that it can be tried again.
    fn is_conflict(error: &sqlx::Error) -> bool;

    /// The states of a counter or of strikes as text, in a SELECT.
    const STATE: &str = "state";

    /// Reads what [`STATE`](Self::STATE) has told, one state an algorithm.
    fn read_states(_: impl Iterator<Item = Algorithm>, text: &str) -> SmallVec<[Option<State>; 2]> {
        wire::states(text).collect()
    }

    /// States as they are written, between quotes.
    fn write_states(states: impl Iterator<Item = Option<State>>) -> String {
        wire::write_states(states)
    }

    /// Strikes, in the same way.
    fn write_strikes(state: Option<State>) -> String {
        wire::write_states([state])
    }
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
    let prefix = dialect.prefix();
    let names: Vec<Vec<[String; 3]>> =
        runs.iter().map(|run| run.items.iter().map(names).collect()).collect();
    let select = select::<D>(prefix, &names.concat());
    let rows = dialect.begin(connection, &locks(prefix, runs), &select).await?;
    let mut rows: HashMap<String, String> = rows.into_iter().collect();
    let theirs = rows.get("now").and_then(|now| now.parse().ok()).map(Timestamp::from_micros);
    let mut answers = Vec::with_capacity(runs.len());
    let mut writes = Writes::default();
    for (run, names) in runs.iter().zip(names) {
        let now = run.now.or(theirs).ok_or_else(|| {
            sqlx::Error::Protocol("the database answered without the time".to_owned())
        })?;
        let items = run.items.iter().zip(&names);
        let kept = items.map(|(item, names)| kept::<D>(&rows, item, names, now)).collect();
        let before = Before { now, kept };
        let own = Writes::of::<D>(run, &names, &before);
        // What the next one finds.
        own.show(&mut rows);
        writes.add(own);
        answers.push(before);
    }
    D::rows(connection, format!("{}COMMIT", writes.sql::<D>(prefix))).await?;
    Ok(answers)
}

fn names(item: &Named) -> [String; 3] {
    naming::parts(item.scope()).map(|part| name(&item.client, &part))
}

fn select<D: Locking>(prefix: &str, names: &[[String; 3]]) -> String {
    let counters = quoted(names.iter().flat_map(|[counter, strikes, _]| [counter, strikes]));
    let bans = quoted(names.iter().map(|[_, _, ban]| ban));
    format!(
        "SELECT name, {} FROM {prefix}_counters WHERE name IN ({counters}) \
         UNION ALL SELECT name, CONCAT(ends, ',', lasted) FROM {prefix}_bans WHERE name IN ({bans})",
        D::STATE
    )
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    super::join(names.into_iter().map(|name| format!("'{name}'")))
}

fn kept<D: Locking>(
    rows: &HashMap<String, String>,
    item: &Named,
    names: &[String; 3],
    now: Timestamp,
) -> Kept {
    let algorithms = item.policy.quotas().iter().map(Quota::algorithm);
    let sliding = std::iter::once(Algorithm::SlidingWindow);
    let [counter, strikes, ban] = names.each_ref().map(|name| rows.get(name).map(String::as_str));
    Kept {
        now,
        states: counter.map(|text| D::read_states(algorithms, text)).unwrap_or_default(),
        strikes: strikes.and_then(|text| D::read_states(sliding, text).first().copied().flatten()),
        ban: ban.and_then(parse_ban),
    }
}

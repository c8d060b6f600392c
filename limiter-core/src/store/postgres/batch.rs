//! Several checks in one transaction: two round trips, each one function.

use std::time::Duration;

use sqlx::PgConnection;

use super::{
    IDLE_MILLIS, Postgres,
    encoding::{numbers, read_states},
};
use crate::{
    quota::Algorithm,
    store::sql::{
        Dialect, join,
        transaction::{Changes, CounterRow, LoadedRows, Names, States, Transactional},
    },
};

impl Transactional for Postgres {
    async fn begin(
        &self,
        connection: &mut PgConnection,
        locks: &[u64],
        names: &Names<'_>,
    ) -> Result<LoadedRows, sqlx::Error> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; {}\
             SELECT 'found', {}_read_1('{{{}}}', '{{{}}}', '{{{}}}')",
            self.settings(),
            self.prefix,
            join(locks.iter().map(|lock| lock.cast_signed())),
            names.counters.join(","),
            names.bans.join(",")
        );
        let rows = Self::rows(connection, sql).await?;
        let found = rows.first().and_then(|(_, found)| read(found, names));
        found.ok_or_else(|| {
            sqlx::Error::Protocol("the function answered in another form".to_owned())
        })
    }

    async fn commit(
        &self,
        connection: &mut PgConnection,
        changes: &Changes<'_>,
    ) -> Result<(), sqlx::Error> {
        let Changes { counters, gone_counters, bans, gone_bans } = changes;
        let mut sql = String::new();
        if !(counters.is_empty() && gone_counters.is_empty()) {
            sql = format!(
                "SELECT {}_count_1('{{{}}}', '{{{}}}', '{{{}}}', '{{{}}}'); ",
                self.prefix,
                join(counters.iter().map(|counted| counted.name)),
                join(counters.iter().map(state)),
                join(counters.iter().map(|counted| counted.expires)),
                gone_counters.join(",")
            );
        }
        if !(bans.is_empty() && gone_bans.is_empty()) {
            sql += &format!(
                "SELECT {}_ban_1('{{{}}}', '{{{}}}', '{{{}}}', '{{{}}}', '{{{}}}'); ",
                self.prefix,
                join(bans.iter().map(|(name, ..)| name)),
                join(bans.iter().map(|(_, ban, _)| ban.until.as_micros())),
                join(bans.iter().map(|(_, ban, _)| ban.duration)),
                join(bans.iter().map(|(.., expires)| expires)),
                gone_bans.join(",")
            );
        }
        Self::rows(connection, sql + "COMMIT").await.map(|_| ())
    }

    /// A serialization failure or a deadlock.
    fn is_conflict(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| code == "40001" || code == "40P01")
    }

    fn read_states(algorithms: impl Iterator<Item = Algorithm>, text: &str) -> States {
        let numbers = text.trim_matches(['{', '}']).split(',').map(str::parse);
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().unwrap_or_default();
        read_states(algorithms, &numbers)
    }
}

impl Postgres {
    /// SQL that makes the settings of a transaction whose connection has none.
    fn settings(&self) -> String {
        let set = |patience: Duration| {
            format!(
                "SET LOCAL lock_timeout = {}; \
                 SET LOCAL idle_in_transaction_session_timeout = {IDLE_MILLIS}; \
                 SET LOCAL enable_seqscan = off; ",
                patience.as_millis()
            )
        };
        self.patience.map_or_else(String::new, set)
    }
}

/// Reads what the function has found: the instant, counters and bans, with `|`
/// between. An empty one is none.
fn read(found: &str, names: &Names<'_>) -> Option<LoadedRows> {
    let mut parts = found.split('|');
    let now = parts.next()?.parse().ok()?;
    let mut rows = |count: usize| -> Option<Vec<Option<String>>> {
        let rows = parts.next()?.split(';').take(count);
        let rows: Vec<_> =
            rows.map(|row| Some(row.to_owned()).filter(|row| !row.is_empty())).collect();
        (rows.len() == count).then_some(rows)
    };
    let (counters, bans) = (rows(names.counters.len())?, rows(names.bans.len())?);
    Some(LoadedRows { now: Some(now), counters, bans })
}

/// States as an element of an array. Of strikes, the functions keep the first
/// three numbers.
fn state(counted: &CounterRow<'_>) -> String {
    let kept = if counted.is_strikes { 3 } else { 4 };
    let states = counted.states.iter().flat_map(|state| numbers(*state).into_iter().take(kept));
    format!("\"{{{}}}\"", join(states))
}

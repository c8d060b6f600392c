//! The general form on PostgreSQL: rows are read, and written if they are still as
//! they were read.
//!
//! Input: rows to read, changes to write. Output: rows with their versions (`xmin`),
//! and whether the changes were written. No transaction is open from one to the other,
//! but where others have changed the rows meanwhile: the next attempt locks them.

use std::{collections::HashMap, sync::atomic::Ordering};

use sqlx::{PgConnection, Row as _, postgres::PgRow};

use super::{
    Postgres,
    statement::{Argument, run_text},
};
use crate::{
    ban::Ban,
    store::{
        remote::{
            counter_states::CounterStates,
            state_rows::{BanRow, Changes, CounterRow, LoadedRow, LoadedRows, Names, Rows},
        },
        sql::{
            counter_columns::{self, CounterColumns},
            transaction::Transactional,
        },
    },
};

impl Transactional for Postgres {
    async fn read(
        &self,
        connection: &mut PgConnection,
        rows: &Rows<'_>,
        attempt: usize,
    ) -> Result<LoadedRows, sqlx::Error> {
        let names = rows.names();
        let arguments = [&names.counters, &names.bans]
            .map(|names| Argument::Texts(names.iter().map(|name| Some(*name)).collect()));
        let found = if Self::locks(attempt) {
            let [lock, read] = [&self.statements.lock, &self.statements.read]
                .map(|statement| statement.with_literals(&arguments));
            let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
            run_text(connection, format!("{begin}; {}{lock}; {read}", self.session_settings()))
                .await
        } else {
            self.run_statement(connection, &self.statements.read, &arguments).await
        };
        loaded(&found?, &names)
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        changes: &Changes<'_>,
        attempt: usize,
    ) -> Result<bool, sqlx::Error> {
        let columns: Vec<CounterColumns> = changes.counters.iter().map(columns).collect();
        let arguments = write_arguments(changes, &columns);
        let statement = &self.statements.write;
        let rows = if Self::locks(attempt) {
            run_text(connection, statement.with_literals(&arguments) + "; COMMIT").await
        } else {
            self.run_statement(connection, statement, &arguments).await
        };
        let is_new = |(row, columns): (&CounterRow<'_>, &CounterColumns)| {
            row.version.is_none() && columns.tat.is_some()
        };
        if changes.counters.iter().zip(&columns).any(is_new) {
            self.expects_new_keys.store(true, Ordering::Relaxed);
        }
        let written: Option<i32> = rows?.first().map(|row| row.try_get(0)).transpose()?;
        Ok(written == Some(1))
    }

    fn locks(attempt: usize) -> bool {
        attempt > 0
    }

    fn is_conflict(error: &sqlx::Error) -> bool {
        is_conflict(error)
    }

    fn read_states(text: &str) -> CounterStates {
        counter_columns::read_states(text)
    }
}

/// Returns true if a statement was rolled back because of another: a serialization failure, a
/// deadlock, or a row that was new to both (see `sql/write.sql`).
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["40001", "40P01", "22012"].contains(&&*code))
}

/// Returns the rows of `sql/read.sql` in the order of the names.
fn loaded(rows: &[PgRow], names: &Names<'_>) -> Result<LoadedRows, sqlx::Error> {
    let mut now = None;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let (name, version, text): (Option<&str>, Option<String>, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        match name.zip(version) {
            Some((name, version)) => {
                found.insert(name, LoadedRow { version, value: text });
            }
            None => now = text.parse().ok(),
        }
    }
    let counters = names.counters.iter().map(|name| found.remove(name)).collect();
    let bans = names.bans.iter().map(|name| found.remove(name)).collect();
    Ok(LoadedRows { now, counters, bans })
}

/// Returns the columns of a counter; those of one to be removed are empty.
fn columns(row: &CounterRow<'_>) -> CounterColumns {
    row.states.map_or_else(CounterColumns::default, |states| {
        CounterColumns::write(row.policy, states, row.expires_at)
    })
}

/// Returns the arguments of `sql/write.sql`.
fn write_arguments<'a>(
    Changes { counters, bans }: &'a Changes<'_>,
    columns: &'a [CounterColumns],
) -> [Argument<'a>; 14] {
    let counter = |value: fn(&CounterColumns) -> Option<i64>| {
        Argument::Numbers(columns.iter().map(value).collect())
    };
    let ban = |value: fn(&Ban, &BanRow<'_>) -> u64| {
        let value = |row: &BanRow<'_>| Some(value(row.ban.as_ref()?, row).cast_signed());
        Argument::Numbers(bans.iter().map(value).collect())
    };
    let expires_at = |row: &CounterRow<'_>| row.states.map(|_| row.expires_at.cast_signed());
    [
        Argument::Texts(counters.iter().map(|row| Some(row.name)).collect()),
        Argument::Texts(counters.iter().map(|row| row.version.map(String::as_str)).collect()),
        counter(|columns| columns.tat),
        counter(|columns| columns.limit),
        counter(|columns| columns.burst),
        counter(|columns| columns.window),
        Argument::Texts(columns.iter().map(|columns| columns.state.as_deref()).collect()),
        Argument::Numbers(counters.iter().map(expires_at).collect()),
        Argument::Texts(bans.iter().map(|row| Some(row.name)).collect()),
        Argument::Texts(bans.iter().map(|row| row.version.map(String::as_str)).collect()),
        ban(|ban, _| ban.until.as_micros()),
        ban(|ban, _| ban.duration),
        ban(|ban, _| ban.count.into()),
        ban(|_, row| row.expires_at),
    ]
}

//! Statements that read and write rows by literals.
//!
//! Input: names of rows, and changes. Output: SQL, and the rows that it has returned.

use std::collections::HashMap;

use super::NOW;
use crate::store::{
    remote::state_rows::{Changes, LoadedRow, LoadedRows, Names},
    sql::{
        TextRows, join,
        row_literals::{ChangedRows, Notation, quoted},
    },
};

const COUNTER_COLUMNS: [&str; 6] =
    ["tat", "quota_limit", "quota_burst", "quota_window", "state", "expires_at"];

const SQL: Notation = Notation { open: '(', quote: '\'', null: "NULL", close: ')' };

/// The SELECTs of rows by their names, and of the time: two columns each. Where `locks` says
/// so, counters are locked: the [fast path](super::fast_path) locks nothing else, and the
/// time is read behind it.
pub(super) fn select(prefix: &str, names: &Names<'_>, locks: bool) -> String {
    let counters = quoted(&names.counters, SQL.quote);
    let lock = if locks { "ORDER BY name FOR UPDATE" } else { "" };
    let mut sql = format!(
        "SELECT name, CONCAT(COALESCE(state, \
           CONCAT('q', tat, ',', quota_limit, ',', quota_burst, ',', quota_window)), '!', expires_at) \
         FROM {prefix}_counters WHERE name IN ({counters}) {lock}; \
         SELECT 'now', {NOW}"
    );
    if !names.bans.is_empty() {
        let bans = quoted(&names.bans, SQL.quote);
        sql += &format!(
            "; SELECT name, CONCAT(ends_at, ',', duration, ',', ban_count) FROM {prefix}_bans \
             WHERE name IN ({bans})"
        );
    }
    sql
}

/// The rows that it has returned; and in one more, "now", the instant.
pub(super) fn loaded(rows: TextRows, names: &Names<'_>) -> LoadedRows {
    let mut rows: HashMap<String, String> = rows.into_iter().collect();
    let now = rows.get("now").and_then(|now| now.parse().ok());
    let mut load = |name: &&str| {
        let value = rows.remove(*name)?;
        Some(LoadedRow { version: String::new(), value })
    };
    let counters = names.counters.iter().map(&mut load).collect();
    LoadedRows { now, counters, bans: names.bans.iter().map(&mut load).collect() }
}

/// The SQL that makes changes, each statement with a semicolon behind it.
pub(super) fn write(prefix: &str, changes: &Changes<'_>) -> String {
    let rows = ChangedRows::of(changes, &SQL);
    let (counters, bans) = (format!("{prefix}_counters"), format!("{prefix}_bans"));
    upsert(&counters, &COUNTER_COLUMNS, &rows.counters)
        + &upsert(&bans, &["ends_at", "duration", "ban_count", "expires_at"], &rows.bans)
        + &delete(&counters, &rows.gone_counters)
        + &delete(&bans, &rows.gone_bans)
}

fn upsert(table: &str, columns: &[&str], rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "INSERT INTO {table} (name,{}) VALUES {rows} ON DUPLICATE KEY UPDATE {};",
        columns.join(","),
        join(columns.iter().map(|column| format!("{column}=VALUES({column})")))
    )
}

fn delete(table: &str, names: &str) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!("DELETE FROM {table} WHERE name IN ({names});")
}

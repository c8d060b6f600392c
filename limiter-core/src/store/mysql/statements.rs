//! Statements that read and write rows by literals.
//!
//! Input: names of rows, and changes. Output: SQL, and the rows that it has returned.

use std::collections::HashMap;

use crate::store::{
    remote::state_rows::{Changes, LoadedRow, LoadedRows, Names},
    sql::{
        TextRows, join,
        row_literals::{ChangedRows, Notation, quoted},
    },
};

const SQL: Notation = Notation { open: '(', quote: '\'', close: ')' };

/// The SELECT of rows by their names: two columns.
pub(super) fn select(prefix: &str, names: &Names<'_>) -> String {
    let counters = quoted(&names.counters, SQL.quote);
    let mut sql = format!(
        "SELECT name, CONCAT(state, '!', expires_at) FROM {prefix}_counters \
         WHERE name IN ({counters})"
    );
    if !names.bans.is_empty() {
        let bans = quoted(&names.bans, SQL.quote);
        sql += &format!(
            " UNION ALL SELECT name, CONCAT(ends_at, ',', duration, ',', ban_count) FROM {prefix}_bans \
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
    upsert(&counters, &["state", "expires_at"], &rows.counters)
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

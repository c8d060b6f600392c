//! Statements that read and write rows by literals.
//!
//! Input: names of rows, and changes. Output: SQL, and the rows that it has returned.

use std::collections::HashMap;

use crate::{
    ban::Ban,
    store::{
        remote::state_rows::{BanRow, Changes, CounterRow, LoadedRow, LoadedRows, Names},
        sql::{TextRows, join, text_encoding},
    },
};

/// The SELECT of rows by their names: two columns.
pub(super) fn select(prefix: &str, names: &Names<'_>) -> String {
    let counters = quoted(&names.counters);
    let mut sql = format!(
        "SELECT name, CONCAT(state, '!', expires_at) FROM {prefix}_counters \
         WHERE name IN ({counters})"
    );
    if !names.bans.is_empty() {
        let bans = quoted(&names.bans);
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
    let (mut counters, mut gone_counters) = (Vec::new(), Vec::new());
    for CounterRow { name, states, expires_at, .. } in &changes.counters {
        match states {
            Some(states) => {
                let state = text_encoding::write_states(states, *expires_at);
                counters.push(format!("('{name}','{state}',{expires_at})"));
            }
            None => gone_counters.push(*name),
        }
    }
    let (mut bans, mut gone_bans) = (Vec::new(), Vec::new());
    for BanRow { name, ban, expires_at, .. } in &changes.bans {
        match ban {
            Some(Ban { until, duration, count }) => {
                let until = until.as_micros();
                bans.push(format!("('{name}',{until},{duration},{count},{expires_at})"));
            }
            None => gone_bans.push(*name),
        }
    }
    let (counter_table, ban_table) = (format!("{prefix}_counters"), format!("{prefix}_bans"));
    upsert(&counter_table, &["state", "expires_at"], &counters)
        + &upsert(&ban_table, &["ends_at", "duration", "ban_count", "expires_at"], &bans)
        + &delete(&counter_table, &gone_counters)
        + &delete(&ban_table, &gone_bans)
}

fn upsert(table: &str, columns: &[&str], rows: &[String]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "INSERT INTO {table} (name,{}) VALUES {} ON DUPLICATE KEY UPDATE {};",
        columns.join(","),
        rows.join(","),
        join(columns.iter().map(|column| format!("{column}=VALUES({column})")))
    )
}

fn delete(table: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!("DELETE FROM {table} WHERE name IN ({});", quoted(names))
}

fn quoted(names: &[&str]) -> String {
    join(names.iter().map(|name| format!("'{name}'")))
}

//! Reading and writing by SQL that names each row.

use std::collections::HashMap;

use super::{Changes, CounterRow, LoadedRows, Names};
use crate::store::{
    remote::text_encoding,
    sql::{Rows, join},
};

/// The SELECT of rows by their names: two columns.
pub(in crate::store) fn select(prefix: &str, names: &Names<'_>) -> String {
    let counters = quoted(&names.counters);
    let mut sql = format!("SELECT name, state FROM {prefix}_counters WHERE name IN ({counters})");
    if !names.bans.is_empty() {
        let bans = quoted(&names.bans);
        sql += &format!(
            " UNION ALL SELECT name, CONCAT(ends, ',', lasted) FROM {prefix}_bans \
             WHERE name IN ({bans})"
        );
    }
    sql
}

/// What it has found; and in one row more, "now", the instant.
pub(in crate::store) fn found(rows: Rows, names: &Names<'_>) -> LoadedRows {
    let mut rows: HashMap<String, String> = rows.into_iter().collect();
    let now = rows.get("now").and_then(|now| now.parse().ok());
    let mut of = |names: &[&str]| names.iter().map(|name| rows.remove(*name)).collect();
    LoadedRows { now, counters: of(&names.counters), bans: of(&names.bans) }
}

/// The SQL that makes changes, each statement with a semicolon behind it.
/// An INSERT goes on with `on` where a row is there, to set each column to what
/// `replaced` says.
pub(in crate::store) fn write(
    prefix: &str,
    changes: &Changes<'_>,
    on: &str,
    replaced: fn(&str) -> String,
) -> String {
    let counters = changes.counters.iter().map(|CounterRow { name, states, expires, .. }| {
        format!("('{name}','{}',{expires})", text_encoding::write_states(states.iter().copied()))
    });
    let bans = changes.bans.iter().map(|(name, ban, expires)| {
        format!("('{name}',{},{},{expires})", ban.until.as_micros(), ban.duration)
    });
    let insert = |table: &str, columns: &[&str], rows: String| match rows.is_empty() {
        true => rows,
        false => format!(
            "INSERT INTO {prefix}_{table} (name,{}) VALUES {rows} {on} {};",
            columns.join(","),
            join(columns.iter().map(|column| format!("{column}={}", replaced(column))))
        ),
    };
    let delete = |table: &str, names: &[&str]| match names.is_empty() {
        true => String::new(),
        false => format!("DELETE FROM {prefix}_{table} WHERE name IN ({});", quoted(names)),
    };
    insert("counters", &["state", "expires"], join(counters))
        + &insert("bans", &["ends", "lasted", "expires"], join(bans))
        + &delete("counters", &changes.gone_counters)
        + &delete("bans", &changes.gone_bans)
}

fn quoted(names: &[&str]) -> String {
    join(names.iter().map(|name| format!("'{name}'")))
}

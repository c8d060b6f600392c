//! Prepared scripts that read and write rows, and their arguments: arrays in JSON.
//!
//! Input: names of rows, and changes. Output: arguments, and the rows that were read.

use std::{fmt::Write as _, sync::Arc};

use crate::{
    ban::Ban,
    store::{
        remote::state_rows::{BanRow, Changes, CounterRow, LoadedRow},
        sql::{join, text_encoding},
    },
};

/// The scripts of a step.
#[derive(Debug)]
pub(super) struct Statements {
    /// Begins a transaction with the lock of the file, and reads: see [`loaded`].
    /// Arguments: the names of counters, the names of bans.
    pub(super) read: Arc<str>,
    /// The same without the lock, where nothing will be written.
    pub(super) look: Arc<str>,
    /// Writes and commits. Arguments: those of [`ChangedRows`].
    pub(super) write: Arc<str>,
}

impl Statements {
    pub(super) fn new(prefix: &str) -> Self {
        let select = format!(
            "SELECT (
                SELECT group_concat(key || ' ' || state || '!' || expires_at, char(10))
                FROM json_each(?) CROSS JOIN {prefix}_counters ON name = value
            ), (
                SELECT group_concat(key || ' ' || ends_at || ',' || duration || ',' || ban_count, char(10))
                FROM json_each(?) CROSS JOIN {prefix}_bans ON name = value
            );"
        );
        let write = format!(
            "INSERT INTO {prefix}_counters (name, state, expires_at)
             SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE TRUE
             ON CONFLICT (name) DO UPDATE SET state = excluded.state, expires_at = excluded.expires_at;
             INSERT INTO {prefix}_bans (name, ends_at, duration, ban_count, expires_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
             FROM json_each(?) WHERE TRUE
             ON CONFLICT (name) DO UPDATE SET ends_at = excluded.ends_at, duration = excluded.duration,
                 ban_count = excluded.ban_count, expires_at = excluded.expires_at;
             DELETE FROM {prefix}_counters WHERE name IN (SELECT value FROM json_each(?));
             DELETE FROM {prefix}_bans WHERE name IN (SELECT value FROM json_each(?));
             COMMIT;"
        );
        Self {
            read: format!("BEGIN IMMEDIATE; {select}").into(),
            look: format!("BEGIN; {select}").into(),
            write: write.into(),
        }
    }
}

/// The changes of a step, each kind as an array in JSON.
pub(super) struct ChangedRows {
    pub(super) counters: String,
    pub(super) bans: String,
    pub(super) gone_counters: String,
    pub(super) gone_bans: String,
}

impl ChangedRows {
    pub(super) fn of(changes: &Changes<'_>) -> Self {
        let (mut counters, mut gone_counters) = (Vec::new(), Vec::new());
        for CounterRow { name, states, expires_at, .. } in &changes.counters {
            match states {
                Some(states) => {
                    let state = text_encoding::write_states(states, *expires_at);
                    counters.push(format!(r#"["{name}","{state}",{expires_at}]"#));
                }
                None => gone_counters.push(*name),
            }
        }
        let (mut bans, mut gone_bans) = (Vec::new(), Vec::new());
        for BanRow { name, ban, expires_at, .. } in &changes.bans {
            match ban {
                Some(Ban { until, duration, count }) => {
                    let until = until.as_micros();
                    bans.push(format!(r#"["{name}",{until},{duration},{count},{expires_at}]"#));
                }
                None => gone_bans.push(*name),
            }
        }
        Self {
            counters: format!("[{}]", join(counters)),
            bans: format!("[{}]", join(bans)),
            gone_counters: array(&gone_counters),
            gone_bans: array(&gone_bans),
        }
    }
}

/// Returns names as an array in JSON. Their characters are plain, so that none is escaped.
pub(super) fn array(names: &[&str]) -> String {
    let mut text = String::from("[");
    for (at, name) in names.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}\"{name}\"");
    }
    text + "]"
}

/// Returns the rows that were read of `count` names: each a line, which begins with the
/// place of its name and a space.
pub(super) fn loaded(lines: Option<String>, count: usize) -> Vec<Option<LoadedRow>> {
    let mut rows: Vec<_> = (0..count).map(|_| None).collect();
    for line in lines.as_deref().unwrap_or_default().lines() {
        let (place, value) = line.split_once(' ').unwrap_or_default();
        if let Some(row) = place.parse().ok().and_then(|place: usize| rows.get_mut(place)) {
            *row = Some(LoadedRow { version: String::new(), value: value.to_owned() });
        }
    }
    rows
}

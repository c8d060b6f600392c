//! Prepared scripts that read and write rows, and their arguments: arrays in JSON.
//!
//! Input: names of rows, and changes. Output: arguments, and the rows that were read.

use std::sync::Arc;

use crate::store::{
    remote::state_rows::{Changes, LoadedRow},
    sql::row_literals::{ChangedRows, Notation, quoted},
};

const JSON: Notation = Notation { open: '[', quote: '"', null: "null", close: ']' };

/// The scripts of a step.
#[derive(Debug)]
pub(super) struct Statements {
    /// Begins a transaction with the lock of the file, and reads: see [`loaded`].
    /// Arguments: the names of counters, the names of bans.
    pub(super) read: Arc<str>,
    /// The same without the lock, where nothing will be written.
    pub(super) look: Arc<str>,
    /// Writes and commits. Arguments: those of [`changed_rows`].
    pub(super) write: Arc<str>,
}

impl Statements {
    pub(super) fn new(prefix: &str) -> Self {
        let select = format!(
            "SELECT (
                SELECT group_concat(key || ' ' || coalesce(state,
                    'q' || tat || ',' || quota_limit || ',' || quota_burst || ',' || quota_window
                ) || '!' || expires_at, char(10))
                FROM json_each(?) CROSS JOIN {prefix}_counters ON name = value
            ), (
                SELECT group_concat(key || ' ' || ends_at || ',' || duration || ',' || ban_count, char(10))
                FROM json_each(?) CROSS JOIN {prefix}_bans ON name = value
            );"
        );
        let write = format!(
            "INSERT INTO {prefix}_counters
                (name, tat, quota_limit, quota_burst, quota_window, state, expires_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                value ->> 6 FROM json_each(?) WHERE TRUE
             ON CONFLICT (name) DO UPDATE SET tat = excluded.tat, quota_limit = excluded.quota_limit,
                quota_burst = excluded.quota_burst, quota_window = excluded.quota_window,
                state = excluded.state, expires_at = excluded.expires_at;
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

/// Returns the changes of a step, as arguments of the script that writes.
pub(super) fn changed_rows(changes: &Changes<'_>) -> [String; 4] {
    let ChangedRows { counters, bans, gone_counters, gone_bans } = ChangedRows::of(changes, &JSON);
    [counters, bans, gone_counters, gone_bans].map(|list| format!("[{list}]"))
}

/// Returns names as an array.
pub(super) fn array(names: &[&str]) -> String {
    format!("[{}]", quoted(names, JSON.quote))
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

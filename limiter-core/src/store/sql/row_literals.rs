//! Names and changed rows as literals, for the databases that are sent all rows of a batch
//! in one text: in SQL (MySQL), or in JSON (SQLite).
//!
//! Input: names of rows, and changes. Output: lists of literals with commas between. The
//! characters of names and states are plain, so that none is escaped.

use super::counter_columns::CounterColumns;
use crate::{
    ban::Ban,
    store::remote::{
        counter_states::CounterStates,
        state_rows::{BanRow, Changes, CounterRow},
    },
};

/// The notation of a row, and of a text in it.
pub(in crate::store) struct Notation {
    pub(in crate::store) open: char,
    pub(in crate::store) quote: char,
    pub(in crate::store) null: &'static str,
    pub(in crate::store) close: char,
}

/// The changes of a step: each list is empty where there are none.
pub(in crate::store) struct ChangedRows {
    /// Name, tat, quota_limit, quota_burst, quota_window, state, expires_at.
    pub(in crate::store) counters: String,
    /// Name, ends_at, duration, ban_count, expires_at.
    pub(in crate::store) bans: String,
    /// Names.
    pub(in crate::store) gone_counters: String,
    /// Names.
    pub(in crate::store) gone_bans: String,
}

impl ChangedRows {
    /// Returns the literals of the changes.
    pub(in crate::store) fn of(changes: &Changes<'_>, notation: &Notation) -> Self {
        let Notation { open, quote, close, .. } = notation;
        let (mut counters, mut gone_counters) = (Vec::new(), Vec::new());
        for row @ CounterRow { name, states, expires_at, .. } in &changes.counters {
            match states {
                Some(states) => {
                    let columns = state_columns(row, states, notation);
                    counters
                        .push(format!("{open}{quote}{name}{quote},{columns},{expires_at}{close}"));
                }
                None => gone_counters.push(*name),
            }
        }
        let (mut bans, mut gone_bans) = (Vec::new(), Vec::new());
        for BanRow { name, ban, expires_at, .. } in &changes.bans {
            match ban {
                Some(Ban { until, duration, count }) => {
                    let until = until.as_micros();
                    bans.push(format!(
                        "{open}{quote}{name}{quote},{until},{duration},{count},{expires_at}{close}"
                    ));
                }
                None => gone_bans.push(*name),
            }
        }
        Self {
            counters: counters.join(","),
            bans: bans.join(","),
            gone_counters: quoted(&gone_counters, *quote),
            gone_bans: quoted(&gone_bans, *quote),
        }
    }
}

/// Returns names with quotes around each.
pub(in crate::store) fn quoted(names: &[&str], quote: char) -> String {
    let mut list = String::with_capacity(names.iter().map(|name| name.len() + 3).sum());
    for (at, name) in names.iter().enumerate() {
        list.extend((at > 0).then_some(','));
        list.push(quote);
        list.push_str(name);
        list.push(quote);
    }
    list
}

/// Returns the columns of a counter's states.
fn state_columns(row: &CounterRow<'_>, states: &CounterStates, notation: &Notation) -> String {
    let Notation { quote, null, .. } = notation;
    let columns = CounterColumns::write(row.policy, states, row.expires_at);
    let CounterColumns { tat, limit, burst, window, state } = columns;
    let null = || (*null).to_owned();
    let numbers = [tat, limit, burst, window];
    let numbers = numbers.map(|number| number.map_or_else(null, |number| number.to_string()));
    let state = state.map_or_else(null, |state| format!("{quote}{state}{quote}"));
    format!("{},{state}", numbers.join(","))
}

//! Names and changed rows as literals, for the databases that are sent all rows of a batch
//! in one text: in SQL (MySQL), or in JSON (SQLite).
//!
//! Input: names of rows, and changes. Output: lists of literals with commas between. The
//! characters of names and states are plain, so that none is escaped.

use super::text_encoding;
use crate::{
    ban::Ban,
    store::remote::state_rows::{BanRow, Changes, CounterRow},
};

/// The notation of a row, and of a text in it.
pub(in crate::store) struct Notation {
    pub(in crate::store) open: char,
    pub(in crate::store) quote: char,
    pub(in crate::store) close: char,
}

/// The changes of a step: each list is empty where there are none.
pub(in crate::store) struct ChangedRows {
    /// Name, state, expires_at.
    pub(in crate::store) counters: String,
    /// Name, ends_at, duration, ban_count, expires_at.
    pub(in crate::store) bans: String,
    /// Names.
    pub(in crate::store) gone_counters: String,
    /// Names.
    pub(in crate::store) gone_bans: String,
}

impl ChangedRows {
    pub(in crate::store) fn of(changes: &Changes<'_>, notation: &Notation) -> Self {
        let Notation { open, quote, close } = notation;
        let (mut counters, mut gone_counters) = (Vec::new(), Vec::new());
        for CounterRow { name, states, expires_at, .. } in &changes.counters {
            match states {
                Some(states) => {
                    let state = text_encoding::write_states(states, *expires_at);
                    counters.push(format!(
                        "{open}{quote}{name}{quote},{quote}{state}{quote},{expires_at}{close}"
                    ));
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

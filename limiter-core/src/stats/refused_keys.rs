//! The keys that a policy has refused most in the last ten minutes.
//!
//! Input: refused keys, each with its instant. Output: the keys with the most
//! refusals, each with bounds of its count. A space-saving summary (Metwally,
//! Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
//! Streams", 2005) for each minute: however many keys there are, 256 are kept, and a
//! key with more than 1/256 of a minute's refusals is among them.
//!
//! A refusal that finds the summary locked by another thread is not noted, so that
//! no request waits here.

mod position_table;
mod summary;

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError, TryLockError},
};

use serde::Serialize;

use self::summary::{Entry, Summary};
use crate::{key::Key, quota::Quota, time::Timestamp};

/// Minutes that are kept.
const SLICES: usize = 10;

/// Microseconds of a slice.
const SLICE: u64 = 60_000_000;

/// A key that a policy has refused, or would have refused in the shadow.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RefusedKey {
    /// The key. A part that may be secret is shown as a mark.
    pub key: Key,
    /// How often it was refused, at most.
    pub count: u64,
    /// How many of these refusals may have been other keys': at least `count - error`
    /// were its own.
    pub error: u64,
    /// The first refusal that is known, by the clock of this host.
    pub first_seen: Timestamp,
    /// The last refusal.
    pub last_seen: Timestamp,
    /// The quota that made it wait longest at the last refusal; `None` if a ban
    /// refused it.
    pub quota: Option<Quota>,
}

/// The summaries of one policy. Without a refusal it holds nothing.
#[derive(Debug, Default)]
pub(crate) struct RefusedKeys {
    slices: Mutex<VecDeque<Slice>>,
}

/// The refusals of one minute.
#[derive(Debug)]
struct Slice {
    /// Minutes since the epoch.
    number: u64,
    summary: Summary,
}

impl RefusedKeys {
    /// Notes a refusal of a key of that [keyed hash](Key::keyed_hash). Returns false if
    /// another thread holds the lock: it is not noted.
    pub(crate) fn note(
        &self,
        digest: u64,
        key: &Key,
        quota: Option<Quota>,
        now: Timestamp,
    ) -> bool {
        let mut slices = match self.slices.try_lock() {
            Ok(slices) => slices,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        current(&mut slices, now).note(digest, key, quota, now);
        true
    }

    /// Returns the keys of the last ten minutes, those with the most refusals first.
    pub(crate) fn top(&self, limit: usize, now: Timestamp) -> Vec<RefusedKey> {
        let oldest = (now.as_micros() / SLICE).saturating_sub(SLICES as u64 - 1);
        // Copied, so that no refusal is missed while the slices are merged.
        let summaries: Vec<(Vec<Entry>, u64)> = {
            let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = slices.iter_mut().filter(|slice| slice.number >= oldest);
            recent.map(|slice| (slice.summary.entries().to_vec(), slice.summary.floor())).collect()
        };
        let mut keys = merged(summaries);
        keys.sort_unstable_by_key(|key| Reverse(key.count));
        keys.truncate(limit);
        keys
    }
}

/// Returns the summary of the present minute. A clock that has stepped back counts on in
/// the last one.
fn current(slices: &mut VecDeque<Slice>, now: Timestamp) -> &mut Summary {
    let number = now.as_micros() / SLICE;
    let is_new = slices.back().is_none_or(|last| last.number < number);
    if is_new {
        let oldest = number.saturating_sub(SLICES as u64 - 1);
        while slices.front().is_some_and(|first| first.number < oldest) {
            slices.pop_front();
        }
        slices.push_back(Slice { number, summary: Summary::default() });
    }
    &mut slices.back_mut().expect("one was added if there was none").summary
}

/// Merges summaries: a key that one of them does not hold may have had as many
/// refusals there as its least frequent key (Agarwal and others, "Mergeable
/// Summaries", 2012).
fn merged(summaries: Vec<(Vec<Entry>, u64)>) -> Vec<RefusedKey> {
    let floors: u64 = summaries.iter().map(|(_, floor)| floor).sum();
    let mut keys: HashMap<u64, RefusedKey> = HashMap::new();
    for (entries, floor) in summaries {
        for entry in entries {
            let key = keys.entry(entry.digest).or_insert_with(|| RefusedKey {
                key: entry.key,
                count: floors,
                error: floors,
                first_seen: entry.first_seen,
                last_seen: entry.last_seen,
                quota: entry.quota,
            });
            key.count += entry.count - floor;
            key.error = key.error + entry.error - floor;
            key.first_seen = key.first_seen.min(entry.first_seen);
            if entry.last_seen >= key.last_seen {
                (key.last_seen, key.quota) = (entry.last_seen, entry.quota);
            }
        }
    }
    keys.into_values().collect()
}

#[cfg(test)]
mod tests;

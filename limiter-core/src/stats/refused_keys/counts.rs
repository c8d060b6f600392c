//! The refusals of keys in one minute or several, which can be merged: [`Counts`].

use std::{cmp::Reverse, collections::HashMap};

use super::{RefusedKey, position_table::CAPACITY};

/// A refused key, with its [keyed hash](crate::Key::keyed_hash).
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) digest: u64,
    pub(super) refused: RefusedKey,
}

/// The refusals of the keys that had most.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) entries: Vec<Entry>,
    /// The most refusals that a key may have which is not among the entries.
    pub(super) floor: u64,
}

impl Counts {
    /// Merges counts: a key that some of them do not hold may have had as many refusals
    /// there as their floor (Agarwal and others, "Mergeable Summaries", 2012).
    pub(super) fn merged<'a>(all: impl IntoIterator<Item = &'a Self, IntoIter: Clone>) -> Self {
        let all = all.into_iter();
        let floors = all.clone().map(|counts| counts.floor).sum();
        let mut keys: HashMap<u64, RefusedKey> = HashMap::new();
        for Self { entries, floor } in all {
            for Entry { digest, refused } in entries {
                let key = keys.entry(*digest).or_insert_with(|| RefusedKey {
                    count: floors,
                    error: floors,
                    ..refused.clone()
                });
                key.count += refused.count - floor;
                key.error = key.error + refused.error - floor;
                key.first_seen = key.first_seen.min(refused.first_seen);
                if refused.last_seen >= key.last_seen {
                    (key.last_seen, key.quota) = (refused.last_seen, refused.quota);
                }
            }
        }
        let entries = keys.into_iter().map(|(digest, refused)| Entry { digest, refused });
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_unstable_by_key(|entry| Reverse(entry.refused.count));
        Self { entries, floor: floors }
    }

    /// Returns the same merged counts without those of the keys behind the first 256.
    ///
    /// The floor stays below 1/256 of all refusals, so that a key with more is still there:
    /// all 257 first keys exceed the floor before by at least as much as it rises.
    pub(super) fn cut(mut self) -> Self {
        if let Some(first) = self.entries.get(CAPACITY) {
            self.floor = first.refused.count;
            self.entries.truncate(CAPACITY);
            self.entries.shrink_to_fit();
        }
        self
    }

    /// Returns the keys in the order of the entries.
    pub(super) fn into_keys(self) -> Vec<RefusedKey> {
        self.entries.into_iter().map(|entry| entry.refused).collect()
    }
}

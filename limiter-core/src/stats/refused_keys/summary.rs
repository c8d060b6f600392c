//! The space-saving summary of one minute: up to 256 keys with their counts. A newcomer
//! takes the place of the key with the smallest count, and that count as its error.

use super::position_table::{CAPACITY, PositionTable};
use crate::{key::Key, quota::Quota, time::Timestamp};

/// A key, and what is known of its refusals.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) digest: u64,
    pub(super) key: Key,
    /// Its refusals, at most.
    pub(super) count: u64,
    /// How many of them may be of keys before.
    pub(super) error: u64,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
    pub(super) quota: Option<Quota>,
}

#[derive(Debug, Default)]
pub(super) struct Summary {
    entries: Vec<Entry>,
    positions: PositionTable,
    /// At most the smallest count. Counts only grow, so that the search for an entry
    /// with it goes round once before it has to be found anew.
    smallest: u64,
    cursor: usize,
}

impl Summary {
    pub(super) fn note(&mut self, digest: u64, key: &Key, quota: Option<Quota>, now: Timestamp) {
        if let Some(position) = self.positions.get(digest) {
            let entry = &mut self.entries[position];
            entry.count += 1;
            (entry.last_seen, entry.quota) = (now, quota);
            return;
        }
        self.add(digest, key, quota, now);
    }

    /// Adds a key that is not there.
    #[inline(never)]
    fn add(&mut self, digest: u64, key: &Key, quota: Option<Quota>, now: Timestamp) {
        let key = key.clone();
        let new = Entry { digest, key, count: 1, error: 0, first_seen: now, last_seen: now, quota };
        if self.entries.len() < CAPACITY {
            self.positions.insert(digest, self.entries.len());
            self.entries.push(new);
            return;
        }
        let position = self.least_frequent();
        let place = &mut self.entries[position];
        let Entry { digest: displaced, count: error, .. } = *place;
        *place = Entry { count: error + 1, error, ..new };
        self.positions.remove(displaced);
        self.positions.insert(digest, position);
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns how many refusals a key may have that is not here.
    pub(super) fn floor(&mut self) -> u64 {
        if self.entries.len() < CAPACITY {
            return 0;
        }
        let position = self.least_frequent();
        self.entries[position].count
    }

    /// Returns the position of an entry with the smallest count.
    fn least_frequent(&mut self) -> usize {
        for _ in 0..self.entries.len() {
            if self.entries[self.cursor].count <= self.smallest {
                return self.cursor;
            }
            self.cursor = (self.cursor + 1) % self.entries.len();
        }
        self.smallest = self.entries.iter().map(|entry| entry.count).min().unwrap_or(0);
        self.least_frequent()
    }
}

#[cfg(test)]
impl Summary {
    /// The bytes that it takes, at most.
    pub(super) fn size(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + PositionTable::SIZE
    }
}

//! The space-saving summary of one minute: up to 256 keys with their counts. A newcomer
//! takes the place of the key with the smallest count, and that count as its error.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::{key::Key, quota::Quota, time::Timestamp};

/// The most keys.
pub(super) const CAPACITY: usize = 256;

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
    positions: HashMap<u64, usize, BuildHasherDefault<DigestHasher>>,
    /// At most the smallest count. Counts only grow, so that the search for an entry
    /// with it goes round once before it has to be found anew.
    smallest: u64,
    cursor: usize,
}

impl Summary {
    pub(super) fn note(&mut self, digest: u64, key: &Key, quota: Option<Quota>, now: Timestamp) {
        if let Some(position) = self.positions.get(&digest) {
            let entry = &mut self.entries[*position];
            entry.count += 1;
            (entry.last_seen, entry.quota) = (now, quota);
            return;
        }
        let error = self.floor();
        let (key, count) = (key.clone(), error + 1);
        let entry = Entry { digest, key, count, error, first_seen: now, last_seen: now, quota };
        if self.entries.len() < CAPACITY {
            self.positions.insert(digest, self.entries.len());
            self.entries.push(entry);
        } else {
            let position = self.least_frequent();
            self.positions.remove(&self.entries[position].digest);
            self.positions.insert(digest, position);
            self.entries[position] = entry;
        }
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

/// Digests are hashed already.
#[derive(Debug, Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Only for types that are no `u64`.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
impl Summary {
    /// The bytes that it takes, at most: a map has up to twice as many places as entries.
    pub(super) fn size(&self) -> usize {
        let place = size_of::<(u64, usize)>() + 1;
        self.entries.capacity() * size_of::<Entry>() + 2 * self.positions.capacity() * place
    }
}

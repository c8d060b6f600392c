//! The space-saving summary of one minute: up to 256 keys with their counts. A newcomer
//! takes the place of the key with the smallest count, and that count as its error.

use super::{
    NotedRefusal, RefusedKey,
    counts::{Counts, Entry},
    position_table::{CAPACITY, PositionTable},
};

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
    pub(super) fn note(&mut self, refusal: NotedRefusal<'_>) {
        if let Some(position) = self.positions.get(refusal.digest) {
            let refused = &mut self.entries[position].refused;
            refused.count += refusal.weight;
            (refused.last_seen, refused.quota) = (refusal.now, refusal.quota);
            return;
        }
        self.add(refusal);
    }

    /// Adds a key that is not there.
    #[inline(never)]
    fn add(&mut self, NotedRefusal { digest, key, quota, now, weight }: NotedRefusal<'_>) {
        let (key, count, error) = (key.clone(), weight, 0);
        let refused = RefusedKey { key, count, error, first_seen: now, last_seen: now, quota };
        let new = Entry { digest, refused };
        if self.entries.len() < CAPACITY {
            self.positions.insert(digest, self.entries.len());
            self.entries.push(new);
            return;
        }
        let position = self.least_frequent();
        let place = &mut self.entries[position];
        let (displaced, error) = (place.digest, place.refused.count);
        let count = error + weight;
        *place = Entry { refused: RefusedKey { count, error, ..new.refused }, ..new };
        self.positions.remove(displaced);
        self.positions.insert(digest, position);
    }

    /// Returns a copy of its counts.
    pub(super) fn counts(&mut self) -> Counts {
        let is_full = self.entries.len() == CAPACITY;
        let floor = if is_full { self.least_count() } else { 0 };
        Counts { entries: self.entries.clone(), floor }
    }

    fn least_count(&mut self) -> u64 {
        let position = self.least_frequent();
        self.entries[position].refused.count
    }

    /// Returns the position of an entry with the smallest count.
    fn least_frequent(&mut self) -> usize {
        for _ in 0..self.entries.len() {
            if self.entries[self.cursor].refused.count <= self.smallest {
                return self.cursor;
            }
            self.cursor = (self.cursor + 1) % self.entries.len();
        }
        self.smallest = self.entries.iter().map(|entry| entry.refused.count).min().unwrap_or(0);
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

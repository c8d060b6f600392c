//! Values that are made once for each key and then found again: a bounded cache.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many values are kept: derived policies, and derived sets of one set and policy.
pub(super) const CAPACITY: usize = 1_000;

/// Values that are made once for each key: [`CAPACITY`] of them, then a new one takes
/// the place of the one that was not used for longest.
#[derive(Debug)]
pub(in crate::limiter) struct DerivedCache<K, V> {
    entries: RwLock<HashMap<K, Entry<V>, BuildHasherDefault<PlanHasher>>>,
    /// How many were inserted so far: the time by which uses are dated, so that finding
    /// a value writes only the first time after an insertion.
    inserted: AtomicU64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    used: AtomicU64,
}

impl<K, V> Default for DerivedCache<K, V> {
    fn default() -> Self {
        Self { entries: RwLock::default(), inserted: AtomicU64::new(0) }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> DerivedCache<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(key)?;
        let now = self.inserted.load(Ordering::Relaxed);
        if entry.used.load(Ordering::Relaxed) != now {
            entry.used.store(now, Ordering::Relaxed);
        }
        Some(entry.value.clone())
    }

    #[cfg(feature = "config")]
    pub(super) fn clear(&self) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the value that is there, or else inserts that one.
    pub(super) fn insert(&self, key: K, value: V) -> V {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = entries.get(&key) {
            return known.value.clone();
        }
        if entries.len() >= CAPACITY {
            let used = |(_, entry): &(&K, &Entry<V>)| entry.used.load(Ordering::Relaxed);
            let unused = entries.iter().min_by_key(used).map(|(key, _)| key.clone());
            unused.and_then(|key| entries.remove(&key));
        }
        let now = self.inserted.fetch_add(1, Ordering::Relaxed) + 1;
        entries.insert(key, Entry { value: value.clone(), used: AtomicU64::new(now) });
        value
    }
}

/// A hasher of a few numbers. A plan is found in 88 instructions, by the standard one in 712.
///
/// It is no defence against keys that are chosen to collide: those here are the
/// application's, and at most [`CAPACITY`].
#[derive(Debug, Default)]
struct PlanHasher(u64);

impl Hasher for PlanHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Only for types that are no number.
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio's fraction, odd: products of it are spread evenly.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        // A table takes the lowest bits, which the highest ones of a number do not reach.
        self.0.rotate_left(26)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_that_was_not_used_for_longest_goes() {
        let interned = DerivedCache::default();
        for key in 0..CAPACITY {
            interned.insert(key, key);
        }
        assert_eq!(interned.get(&0), Some(0));
        assert_eq!(interned.insert(0, 7), 0);
        interned.insert(CAPACITY, 1);
        interned.insert(CAPACITY + 1, 2);
        let kept = |key| interned.get(&key).is_some();
        assert_eq!([kept(0), kept(1), kept(2), kept(3)], [true, false, false, true]);
        assert_eq!(interned.entries.read().unwrap().len(), CAPACITY);
    }
}

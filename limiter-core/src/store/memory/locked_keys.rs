//! The sets of a check's items, locked.

use std::sync::MutexGuard;

use smallvec::SmallVec;

use super::{Shared, bucket::Set, locked_buckets::Sets};
use crate::{key::Key, store::Check};

pub(super) trait Held {
    /// The hash of an item's key.
    fn hash(&self, item: usize) -> u64;

    /// The place of its set.
    fn place(&self, item: usize) -> usize;

    fn set(&mut self, item: usize) -> &mut Set;
}

/// One client by all policies.
pub(super) struct One<'a> {
    hash: u64,
    place: usize,
    set: MutexGuard<'a, Set>,
}

impl<'a> One<'a> {
    #[inline]
    pub(super) fn lock(shared: &'a Shared, key: &Key) -> Self {
        let hash = shared.hash(key);
        let place = shared.table.place(hash);
        Self { hash, place, set: shared.table.lock(place) }
    }
}

impl Held for One<'_> {
    #[inline]
    fn hash(&self, _: usize) -> u64 {
        self.hash
    }

    #[inline]
    fn place(&self, _: usize) -> usize {
        self.place
    }

    #[inline]
    fn set(&mut self, _: usize) -> &mut Set {
        &mut self.set
    }
}

/// Several clients, in the order of the items.
pub(super) struct Several<'a> {
    spots: SmallVec<[(u64, usize); 4]>,
    sets: Sets<'a>,
}

impl<'a> Several<'a> {
    pub(super) fn lock(shared: &'a Shared, check: &Check<'_>) -> Self {
        let hashes = check.items().map(|item| shared.hash(&item.subject.key));
        let spots: SmallVec<[_; 4]> = hashes.map(|hash| (hash, shared.table.place(hash))).collect();
        let sets = Sets::lock(&shared.table, spots.iter().map(|(_, place)| *place).collect());
        Self { spots, sets }
    }
}

impl Held for Several<'_> {
    fn hash(&self, item: usize) -> u64 {
        self.spots[item].0
    }

    fn place(&self, item: usize) -> usize {
        self.spots[item].1
    }

    fn set(&mut self, item: usize) -> &mut Set {
        self.sets.of_mut(self.spots[item].1)
    }
}

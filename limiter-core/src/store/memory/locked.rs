//! The stripes that a check needs, all of them locked.

use std::{
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use smallvec::SmallVec;

use super::{
    Shared,
    stripe::{Id, Stripe},
};
use crate::store::Item;

impl Shared {
    /// Locks the stripes of all keys, in the order of their place, so that two
    /// checks that cross never wait for each other.
    pub(super) fn lock<'a>(&self, items: impl Iterator<Item = Item<'a>>) -> Locked<'_> {
        let hashes: SmallVec<[u64; 1]> =
            items.map(|item| self.hasher.hash_one(item.subject.key.as_bytes())).collect();
        // The high bits choose the stripe, by multiplication: the low ones
        // tell keys apart within it.
        let place = |hash: u64| ((u128::from(hash) * self.stripes.len() as u128) >> 64) as usize;
        let places: SmallVec<[usize; 1]> = hashes.iter().copied().map(place).collect();
        let mut distinct = places.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let guards = distinct.iter().map(|&place| (place, lock(&self.stripes[place]))).collect();
        Locked { hashes, places, guards }
    }
}

/// The stripes of a check, locked.
pub(super) struct Locked<'a> {
    hashes: SmallVec<[u64; 1]>,
    pub(super) places: SmallVec<[usize; 1]>,
    guards: SmallVec<[(usize, MutexGuard<'a, Stripe>); 1]>,
}

impl Locked<'_> {
    /// The stripe of an item's key, and the name of that key's state there.
    pub(super) fn stripe(&mut self, at: usize, scope: u64) -> (&mut Stripe, Id) {
        let place = self.places[at];
        let guard = self.guards.iter_mut().find(|(at, _)| *at == place);
        let (_, stripe) = guard.expect("the stripe of each item is locked");
        (stripe, Id::new(self.hashes[at], scope))
    }
}

/// A panic while a stripe was locked leaves it as whole as before it: each
/// change is one assignment. So a poisoned lock is taken all the same.
pub(super) fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

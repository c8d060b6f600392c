//! Sets that are locked together.

use std::sync::MutexGuard;

use smallvec::SmallVec;

use super::{
    bucket::Set,
    table::{SETS, Table},
};

/// In the order of their places, so that two checks that cross never wait for
/// each other.
#[derive(Default)]
pub(super) struct Sets<'a>(SmallVec<[(usize, MutexGuard<'a, Set>); 1]>);

impl<'a> Sets<'a> {
    pub(super) fn lock(table: &'a Table, mut places: SmallVec<[usize; SETS]>) -> Self {
        places.sort_unstable();
        places.dedup();
        Self(places.into_iter().map(|place| (place, table.lock(place))).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Set)> {
        self.0.iter().map(|(place, set)| (*place, &**set))
    }

    /// The set of an item, which has been locked.
    #[inline]
    pub(super) fn of(&self, place: usize) -> &Set {
        &self.0[self.position(place)].1
    }

    #[inline]
    pub(super) fn of_mut(&mut self, place: usize) -> &mut Set {
        let at = self.position(place);
        &mut self.0[at].1
    }

    #[inline]
    fn position(&self, place: usize) -> usize {
        self.0.iter().position(|(at, _)| *at == place).expect("the set of each item is locked")
    }
}

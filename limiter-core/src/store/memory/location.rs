//! Where the records of one item are.

use std::hash::{BuildHasher, Hasher};

use smallvec::SmallVec;

use super::{Shared, bucket::Name, counter_ids::Id, encoding, locking::Locked};
use crate::{
    algorithm::{State, Usage},
    decide::Levels,
    error::StoreError,
    key::Key,
    store::Item,
    time::Timestamp,
};

/// A key's set, and the ids under which its records are in it.
pub(super) struct Spot {
    pub(super) place: usize,
    hash: u64,
    /// One a quota.
    counters: SmallVec<[Id; 1]>,
    strikes: Option<Id>,
}

impl Shared {
    #[inline]
    pub(super) fn hash(&self, key: &Key) -> u64 {
        // A key's bytes say themselves where they end.
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.as_bytes());
        hasher.finish()
    }

    /// The spots of all items, with what they need locked.
    ///
    /// # Errors
    /// If the store has been asked for more different quotas than it can tell
    /// apart.
    pub(super) fn lock<'a>(
        &self,
        items: impl Iterator<Item = Item<'a>> + Clone,
    ) -> Result<(SmallVec<[Spot; 1]>, Locked<'_>), StoreError> {
        loop {
            let token = self.kinds.token();
            let spots: Result<SmallVec<[Spot; 1]>, _> =
                items.clone().map(|item| self.spot(item)).collect();
            let spots = spots?;
            let places: SmallVec<[usize; 1]> = spots.iter().map(|spot| spot.place).collect();
            let records = spots.iter().map(Spot::records).sum();
            let locked = Locked::new(&self.table, self.kinds.all(), self.origin, &places, records);
            if self.kinds.token() == token {
                return Ok((spots, locked));
            }
        }
    }

    fn spot(&self, item: Item<'_>) -> Result<Spot, StoreError> {
        let hash = self.hash(&item.subject.key);
        let id = |counted| self.kinds.id(counted, || self.ids_in_use());
        let hints = item.policy.hints();
        Ok(Spot {
            place: self.table.place(hash),
            hash,
            counters: hints.quotas.iter().map(id).collect::<Result<_, _>>()?,
            strikes: hints.strikes.as_ref().map(id).transpose()?,
        })
    }

    /// Which ids stand for something that is in force. What has expired goes, since
    /// its id is wanted.
    fn ids_in_use(&self) -> Vec<bool> {
        let mut in_use = vec![false; 1 + usize::from(u16::MAX)];
        let (kinds, now) = (self.kinds.all(), self.clock.now());
        for (place, mut set) in self.table.sets() {
            let mut expired: SmallVec<[Name; 8]> = SmallVec::new();
            for (name, found) in set.records() {
                let Some(id) = name.id() else { continue };
                let level = |kind| encoding::read(&set, found, kind, &kinds, now, self.origin);
                match kinds.get(id).is_none_or(|kind| level(kind).is_expired()) {
                    true => expired.push(name),
                    false => in_use[usize::from(id.get())] = true,
                }
            }
            for name in expired {
                set.remove(name);
                if !name.is_left_behind() {
                    self.table.removed(place);
                }
            }
        }
        in_use
    }
}

impl Spot {
    /// How many records it has at most.
    fn records(&self) -> usize {
        self.counters.len() + usize::from(self.strikes.is_some())
    }

    pub(super) fn levels(&self, locked: &mut Locked<'_>, now: Timestamp) -> Levels {
        self.counters.iter().map(|id| locked.level(self.place, self.hash, *id, now)).collect()
    }

    pub(super) fn charge(&self, locked: &mut Locked<'_>, levels: &[Usage]) {
        for (id, level) in self.counters.iter().zip(levels) {
            locked.write(self.place, self.hash, *id, level);
        }
    }

    pub(super) fn forget(&self, locked: &mut Locked<'_>) {
        for id in &self.counters {
            locked.forget(self.place, self.hash, *id);
        }
    }

    pub(super) fn strikes(&self, locked: &mut Locked<'_>, now: Timestamp) -> Option<State> {
        self.strikes.and_then(|id| locked.level(self.place, self.hash, id, now).state())
    }

    pub(super) fn strike(&self, locked: &mut Locked<'_>, strikes: &Usage) {
        if let Some(id) = self.strikes {
            locked.write(self.place, self.hash, id, strikes);
        }
    }
}

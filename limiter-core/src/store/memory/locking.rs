//! The sets that a check needs, all of them locked.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::{
    bucket::Name,
    counter_ids::{AllKinds, Id},
    encoding,
    locked_buckets::Sets,
    table::{SETS, Table},
};
use crate::{algorithm::Usage, policy::Kind, time::Timestamp};

pub(super) struct Locked<'a> {
    pub(super) table: &'a Table,
    pub(super) kinds: AllKinds<'a>,
    /// Since when arrival times are counted.
    pub(super) origin: Timestamp,
    pub(super) sets: Sets<'a>,
}

impl<'a> Locked<'a> {
    /// Locks the sets of those places, and the rest of a group in which there
    /// may be no room for so many new records.
    pub(super) fn new(
        table: &'a Table,
        kinds: AllKinds<'a>,
        origin: Timestamp,
        places: &[usize],
        records: usize,
    ) -> Self {
        let mut locked = Self { table, kinds, origin, sets: Sets::default() };
        loop {
            locked.sets = Sets::lock(table, needed(table, places, records));
            // It may have become tight while the locks were waited for. What is
            // left behind is so under the locks of the whole group.
            let is_held =
                |place: &usize| !table.is_tight(*place, records) || locked.holds_group(*place);
            if places.iter().all(is_held) {
                return locked;
            }
            locked.sets = Sets::default();
        }
    }

    /// Whether all sets of a group are locked.
    pub(super) fn holds_group(&self, place: usize) -> bool {
        let group = group_of(place);
        self.sets.iter().filter(|(at, _)| group.contains(at)).count() == SETS
    }

    /// What a key has used; of a newcomer, what it inherits.
    pub(super) fn level(&mut self, place: usize, hash: u64, id: Id, now: Timestamp) -> Usage {
        let kind = self.kind(id);
        let name = Name::new(hash, kind.scope, id);
        let known = self.read(place, name, &kind, now);
        let inherited = || match kind.inherited {
            true => self.inheritance(place, &kind, id, now),
            false => None,
        };
        known.or_else(inherited).unwrap_or_else(|| Usage::at(kind.quota, None, now))
    }

    /// Writes what a key has used, or that it has used nothing.
    pub(super) fn write(&mut self, place: usize, hash: u64, id: Id, level: &Usage) {
        let kind = self.kind(id);
        let name = Name::new(hash, kind.scope, id);
        let words = encoding::words(level, &kind, self.origin);
        if words.is_empty() {
            return self.remove(place, name);
        }
        if self.sets.of_mut(place).find(name).is_none() {
            self.make_room(place, level.now());
        }
        if self.sets.of_mut(place).put(name, &words) {
            self.table.added(place);
        }
    }

    pub(super) fn forget(&mut self, place: usize, hash: u64, id: Id) {
        let name = Name::new(hash, self.kind(id).scope, id);
        self.remove(place, name);
    }

    pub(super) fn remove(&mut self, place: usize, name: Name) {
        if self.sets.of_mut(place).remove(name) && !name.is_left_behind() {
            self.table.removed(place);
        }
    }

    pub(super) fn kind(&self, id: Id) -> Kind {
        *self.kinds.get(id).expect("an id stands for its kind while its token is valid")
    }

    pub(super) fn read(
        &mut self,
        place: usize,
        name: Name,
        kind: &Kind,
        now: Timestamp,
    ) -> Option<Usage> {
        let set = self.sets.of(place);
        let found = set.find(name)?;
        Some(encoding::read(set, found, kind, &self.kinds, now, self.origin))
    }

    /// What displaced keys have left to newcomers of that kind. It is kept in the
    /// group's first set.
    fn inheritance(&mut self, place: usize, kind: &Kind, id: Id, now: Timestamp) -> Option<Usage> {
        if !self.table.group(place).left_behind.load(Ordering::Relaxed) {
            return None;
        }
        let first = group_of(place).start;
        self.read(first, Name::left_behind(kind.scope, id), kind, now)
    }
}

/// The sets of those places, and the rest of a group in which there may be no
/// room for so many new records.
fn needed(table: &Table, places: &[usize], records: usize) -> SmallVec<[usize; SETS]> {
    let mut needed = SmallVec::new();
    for &place in places {
        match table.is_tight(place, records) {
            true => needed.extend(group_of(place)),
            false => needed.push(place),
        }
    }
    needed
}

/// The places of a set's whole group.
pub(super) fn group_of(place: usize) -> std::ops::Range<usize> {
    let first = place - place % SETS;
    first..first + SETS
}

//! Making room in a group that is full: see [`MemoryStore`](super::MemoryStore).

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::{
    bucket::Name,
    encoding,
    locking::{Locked, group_of},
};
use crate::{algorithm::Usage, policy::Kind, time::Timestamp};

/// A record that may have to go.
struct Candidate {
    place: usize,
    name: Name,
    kind: Kind,
    level: Usage,
}

impl Locked<'_> {
    /// Sees that there is room for one record more: expired ones go, else the
    /// least indebted does, whose debt newcomers inherit from now on.
    ///
    /// A group that has filled up since it was locked in part gets one more than
    /// it should, and the next newcomer displaces two.
    pub(super) fn make_room(&mut self, place: usize, now: Timestamp) {
        if !self.holds_group(place) {
            return;
        }
        self.drop_expired_debts(place, now);
        while self.table.is_full(place) {
            let (expired, least) = self.dispensable(place, now);
            for (place, name) in &expired {
                self.remove(*place, *name);
            }
            match least.filter(|_| expired.is_empty()) {
                Some(least) => self.displace(&least, now),
                None if expired.is_empty() => return,
                None => {}
            }
        }
    }

    /// What has expired in a group, and the least indebted of the rest.
    fn dispensable(
        &self,
        place: usize,
        now: Timestamp,
    ) -> (SmallVec<[(usize, Name); 8]>, Option<Candidate>) {
        let mut expired = SmallVec::new();
        let mut least: Option<(u32, Candidate)> = None;
        for candidate in self.candidates(place, now) {
            if candidate.level.is_expired() {
                expired.push((candidate.place, candidate.name));
                continue;
            }
            let fill = candidate.level.fill();
            if least.as_ref().is_none_or(|(lowest, _)| fill < *lowest) {
                least = Some((fill, candidate));
            }
        }
        (expired, least.map(|(_, candidate)| candidate))
    }

    fn candidates(&self, place: usize, now: Timestamp) -> impl Iterator<Item = Candidate> + '_ {
        let group = group_of(place);
        let sets = self.sets.iter().filter(move |(at, _)| group.contains(at));
        let records = sets.flat_map(|(place, set)| {
            set.records()
                .filter(|(name, _)| !name.is_left_behind())
                .map(move |found| (place, set, found))
        });
        records.filter_map(move |(place, set, (name, found))| {
            let kind = *self.kinds.get(name.id()?)?;
            let level = encoding::read(set, found, &kind, &self.kinds, now, self.origin);
            Some(Candidate { place, name, kind, level })
        })
    }

    /// Removes a record, and merges its debt into what newcomers of its kind
    /// inherit.
    fn displace(&mut self, Candidate { place, name, kind, level }: &Candidate, now: Timestamp) {
        if let Some(id) = name.id().filter(|_| kind.inherited) {
            let first = group_of(*place).start;
            let left = Name::left_behind(kind.scope, id);
            let known = self.read(first, left, kind, now);
            let most = known.into_iter().fold(level.left_behind(), |most, known| most.merge(known));
            let words = encoding::words(&most, kind, self.origin);
            self.sets.of_mut(first).put(left, &words);
            self.table.group(first).left_behind.store(true, Ordering::Relaxed);
        }
        self.remove(*place, *name);
    }

    fn drop_expired_debts(&mut self, place: usize, now: Timestamp) {
        if !self.table.group(place).left_behind.load(Ordering::Relaxed) {
            return;
        }
        let first = group_of(place).start;
        let records = self.sets.of_mut(first).records();
        let left: Vec<Name> =
            records.map(|(name, _)| name).filter(|name| name.is_left_behind()).collect();
        let mut remain = false;
        for name in left {
            let kind = name.id().and_then(|id| self.kinds.get(id)).copied();
            let level = kind.and_then(|kind| self.read(first, name, &kind, now));
            match level.is_none_or(|level| level.is_expired()) {
                true => self.remove(first, name),
                false => remain = true,
            }
        }
        self.table.group(first).left_behind.store(remain, Ordering::Relaxed);
    }
}

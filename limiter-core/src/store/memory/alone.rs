//! The commonest check by the shortest way: one enforced policy of one quota,
//! for a client that nobody has banned.
//!
//! One set is locked and one record read and written. All else goes the long
//! way, which gives the same answers: a newcomer to a group that is full, a
//! refusal that strikes, a limit that was changed.

use super::{
    MemoryStore, Shared,
    kinds::{Id, Kind},
    record,
    set::Name,
};
use crate::{
    algorithm::Level,
    decide::Alone,
    policy::Mode,
    store::{Check, Item},
};

impl MemoryStore {
    /// `None` if it takes the long way.
    #[inline]
    pub(crate) fn decide_alone(&self, check: &Check<'_>) -> Option<Alone> {
        self.0.decide_alone(check)
    }
}

impl Shared {
    #[inline]
    fn decide_alone(&self, check: &Check<'_>) -> Option<Alone> {
        let item = check.alone().filter(|item| item.policy.mode() == Mode::Enforce)?;
        let ([quota], [(hint, grain)]) =
            (&item.policy.quotas()[..], &item.policy.hints().quotas[..])
        else {
            return None;
        };
        let hash = self.hash(item);
        let place = self.table.place(hash);
        let mut set = self.table.lock(place);
        // With the lock held, the id stands for the same until it is released.
        let id = hint.get(self.kinds.token()).and_then(Id::new)?;
        if self.may_be_banned(item, place) {
            return None;
        }
        let now = self.clock.now();
        let scope = item.policy.scope().counters;
        let kind = Kind { scope, quota: *quota, grain: *grain, inherited: true };
        let name = Name::new(hash, scope, id);
        let found = set.find(name);
        let level = match found {
            Some(found) => {
                let (written, first) = set.first(found);
                if written != name {
                    return None;
                }
                record::level(&set, name, first, &kind, now, self.origin)
            }
            None if self.table.is_tight(place, 1) => return None,
            None => Level::at(*quota, None, now),
        };
        let alone = Alone::new(item, level, check.cost())?;
        if let Some(level) = alone.charged()
            && record::write(&mut set, found, name, level, &kind, self.origin)
        {
            self.table.added(place);
        }
        Some(alone)
    }

    fn may_be_banned(&self, item: Item<'_>, place: usize) -> bool {
        item.policy.ban().is_some() && item.subject.bannable && self.bans.any(place)
    }
}

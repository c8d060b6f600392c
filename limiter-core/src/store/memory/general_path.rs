//! The general path: reads the state of a check under the locks of its segments,
//! runs the pure functions, and writes what they changed. It decides whatever a
//! fast path declines, and every strike and change by hand.

use smallvec::SmallVec;

use super::{Shared, counter_ids::Id, locking::LockedSegments, slot::Tag, table::Location};
use crate::{
    algorithm::Usage,
    ban::BanChange,
    ban::{BanRecord, BanRule},
    check::{Check, Item},
    decide::{Change, Levels, PriorState, decide},
    decision::Decision,
    error::StoreError,
    policy::Counter,
    settlement::{Settled, SettledItem, settle},
    short_list::ShortList,
    store::KeyStates,
    time::Timestamp,
};

/// Where the state of an item is, and the ids of its counters.
struct Found {
    location: Location,
    /// One a quota.
    quotas: ShortList<Id>,
    strikes: Option<Id>,
}

/// Items with their segments locked.
struct Locked<'a> {
    found: ShortList<Found>,
    segments: LockedSegments<'a>,
}

impl Shared {
    /// Locks the segments of all items.
    ///
    /// # Errors
    /// If there are more different counters than there are ids.
    fn lock<'a>(
        &self,
        items: impl Iterator<Item = Item<'a>> + Clone,
    ) -> Result<Locked<'_>, StoreError> {
        loop {
            let token = self.counter_ids.token();
            let found: Result<ShortList<Found>, _> =
                items.clone().map(|item| self.find(item)).collect();
            let found = found?;
            let locations: SmallVec<[Location; 4]> =
                found.iter().map(|found| found.location).collect();
            let segments = LockedSegments::lock(self, &locations);
            // Ids that were valid under the lock stay so until it is released.
            if self.counter_ids.token() == token {
                return Ok(Locked { found, segments });
            }
        }
    }

    /// Locks the segments of all items and claims their counters, where those that have no slot
    /// yet find room as long as the table can grow.
    fn lock_counters<'a>(
        &self,
        items: impl Iterator<Item = Item<'a>> + Clone,
    ) -> Result<Locked<'_>, StoreError> {
        loop {
            let mut locked = self.lock(items.clone())?;
            locked.claim_counters(items.clone());
            let Some(cramped) = locked.segments.cramped_bucket() else { return Ok(locked) };
            drop(locked);
            self.table.relieve(cramped);
        }
    }

    fn find(&self, item: Item<'_>) -> Result<Found, StoreError> {
        let id = |counter| self.counter_ids.id(counter, || self.ids_in_use());
        let counters = item.policy.counters();
        Ok(Found {
            location: self.location(&item.subject.key),
            quotas: counters.quotas.iter().map(id).collect::<Result<_, _>>()?,
            strikes: counters.strikes.as_ref().map(id).transpose()?,
        })
    }

    pub(super) fn decide(&self, check: &Check<'_>) -> Result<Decision, StoreError> {
        let mut locked = self.lock_counters(check.items())?;
        let now = self.clock.now();
        for (at, item, outage_usage) in check.outage_usage() {
            let reconciled = locked.prior(at, item, now).reconciled(item, outage_usage, now);
            locked.charge(at, item, &reconciled.levels);
            if let Some(record) = &reconciled.offender {
                locked.write_record(at, item, record, now);
            }
        }
        let priors: ShortList<PriorState> =
            check.items().enumerate().map(|(at, item)| locked.prior(at, item, now)).collect();
        let outcome = decide(check, &priors, now);
        for ((at, item), change) in check.items().enumerate().zip(&outcome.changes) {
            match change {
                Change::None => {}
                Change::Charged(levels) => locked.charge(at, item, levels),
                Change::Struck(record) => locked.write_record(at, item, record, now),
            }
        }
        Ok(outcome.decision)
    }

    pub(super) fn settle(&self, items: &[SettledItem<'_>]) -> Result<Vec<Settled>, StoreError> {
        let mut locked = self.lock_counters(items.iter().map(|settled| settled.item))?;
        let now = self.clock.now();
        let settle = |(at, settled): (usize, &SettledItem<'_>)| {
            let item = settled.item;
            let outcome = settle(settled, &locked.prior(at, item, now), now);
            if outcome.is_adjusted {
                locked.charge(at, item, &outcome.settled.usages);
            }
            if let Some(record) = &outcome.record {
                locked.write_record(at, item, record, now);
            }
            outcome.settled
        };
        Ok(items.iter().enumerate().map(settle).collect())
    }

    pub(super) fn look(&self, items: &[Item<'_>]) -> Result<KeyStates, StoreError> {
        let mut locked = self.lock_counters(items.iter().copied())?;
        let now = self.clock.now();
        let items = items.iter().enumerate();
        let states = items.map(|(at, item)| locked.prior(at, *item, now)).collect();
        Ok(KeyStates::new(now, states))
    }

    pub(super) fn change_ban(&self, item: Item<'_>, change: BanChange) -> Result<(), StoreError> {
        let Some(rule) = item.policy.ban() else { return Ok(()) };
        if item.subject.is_bannable() {
            let mut locked = self.lock(std::iter::once(item))?;
            let now = self.clock.now();
            let before = locked.record(0, item, rule, now);
            locked.write_record(0, item, &before.change(rule, change, now), now);
        }
        Ok(())
    }

    pub(super) fn reset(&self, item: Item<'_>) -> Result<(), StoreError> {
        let mut locked = self.lock(std::iter::once(item))?;
        let policy = item.policy.namespaces().counters;
        let location = locked.found[0].location.of(policy, &self.table);
        for slot in self.table.bucket(location.bucket).all_slots() {
            let tag = slot.tag();
            let spec = tag.id().and_then(|id| Some((id, self.counter_ids.spec(id)?)));
            // Also those of quotas that another configuration had.
            let is_own = spec.is_some_and(|(id, spec)| {
                let own = Tag::counter(location.digest, spec.namespace, id);
                spec.policy == policy && tag.is_same(own)
            });
            if is_own {
                locked.segments.remove(location, tag);
            }
        }
        Ok(())
    }
}

impl Locked<'_> {
    fn claim_counters<'i>(&mut self, items: impl Iterator<Item = Item<'i>>) {
        for (Found { location, quotas, .. }, item) in self.found.iter().zip(items) {
            for (counter, id) in item.policy.counters().quotas.iter().zip(quotas) {
                self.segments.claim_counter(*location, &counter.spec, *id);
            }
        }
    }

    fn prior(&mut self, at: usize, item: Item<'_>, now: Timestamp) -> PriorState {
        let Found { location, quotas, .. } = &self.found[at];
        let counters = item.policy.counters().quotas.iter().zip(quotas);
        let usage =
            |(counter, id): (&Counter, &Id)| self.segments.read(*location, &counter.spec, *id, now);
        let levels: Levels = counters.map(usage).collect();
        let rule = item.policy.ban().filter(|_| item.subject.is_bannable());
        let offender = rule.map(|rule| self.record(at, item, rule, now));
        PriorState { levels, offender }
    }

    fn record(&mut self, at: usize, item: Item<'_>, rule: &BanRule, now: Timestamp) -> BanRecord {
        let Found { location, strikes, .. } = &self.found[at];
        let bans = &self.segments.shared.bans;
        let ban = bans.get(*location, item.policy.namespaces().bans, &item.subject.key);
        let strikes = item.policy.counters().strikes.as_ref().zip(*strikes);
        let strikes = strikes.and_then(|(counter, id)| {
            let usage: Usage = self.segments.read(*location, &counter.spec, id, now);
            usage.state()
        });
        BanRecord::at(rule, strikes, ban, now)
    }

    fn charge(&mut self, at: usize, item: Item<'_>, levels: &Levels) {
        let Found { location, quotas, .. } = &self.found[at];
        let counters = item.policy.counters().quotas.iter().zip(quotas);
        for ((counter, id), level) in counters.zip(levels) {
            self.segments.write(*location, &counter.spec, *id, level);
        }
    }

    fn write_record(&mut self, at: usize, item: Item<'_>, record: &BanRecord, now: Timestamp) {
        let Found { location, strikes, .. } = &self.found[at];
        let shared = self.segments.shared;
        shared.write_ban(&mut self.segments, *location, item, record, now);
        if let Some((counter, id)) = item.policy.counters().strikes.as_ref().zip(*strikes) {
            self.segments.write(*location, &counter.spec, id, &record.strikes);
        }
    }
}

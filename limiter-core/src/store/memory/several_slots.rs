//! Checks of several quotas without a lock, whose slots are all there.
//!
//! All slots are read, then the clock; the words decide; and the charges are written at
//! once, unless a slot has changed since: see [`write_charges`]. A refusal writes nothing.
//! As in `one_bucket`, the decision is made of numbers in the end, where it stays.

use std::mem;

use smallvec::SmallVec;

use super::{
    MemoryStore, Shared,
    fast_path::Declined,
    slot::{SlotCharge, Tag, write_charges},
    table::{Bucket, Location, Segment},
};
use crate::{
    algorithm::{AnyWordCheck, Wait, WordEncoding},
    check::{Check, Item},
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    key::Key,
    policy::Counters,
    short_list::ShortList,
    time::Timestamp,
};

/// A counter of a check.
struct Counted<'a> {
    at: QuotaPosition,
    encoding: &'a WordEncoding,
    slot: SlotCharge<'a>,
    is_near_limit: bool,
}

/// A check of several quotas, and how it is decided.
pub(crate) struct SlotsCheck<'a> {
    store: &'a Shared,
    counters: SmallVec<[Counted<'a>; 8]>,
    now: Timestamp,
    /// True if there are bans among which one may be of a key of the check.
    may_be_banned: bool,
    ban: Option<PolicyBan>,
    is_refused: bool,
}

/// How often a check is decided, if others come in between, before it takes the locks.
const ATTEMPTS: usize = 3;

impl MemoryStore {
    /// Returns a check that is not yet decided.
    #[inline]
    pub(crate) fn slots_check(&self) -> SlotsCheck<'_> {
        SlotsCheck {
            store: &self.0,
            counters: SmallVec::new(),
            now: Timestamp::default(),
            may_be_banned: false,
            ban: None,
            is_refused: false,
        }
    }
}

impl<'a> SlotsCheck<'a> {
    /// Decides the check, if the slots of all counters are there.
    #[inline]
    pub(crate) fn decide(&mut self, check: &Check<'a>) -> Result<(), Declined> {
        if !check.is_simple() {
            return Err(Declined);
        }
        for _ in 0..ATTEMPTS {
            let token = self.store.counter_ids.token();
            self.read_slots(check)?;
            // Else an id may have passed to another counter of its namespace in between.
            if self.store.counter_ids.token() != token {
                return Err(Declined);
            }
            self.now = self.store.clock.now();
            self.charge_slots(check)?;
            if write_charges(self.counters.iter().map(|counted| counted.slot)) {
                return Ok(());
            }
        }
        Err(Declined)
    }

    #[inline]
    fn read_slots(&mut self, check: &Check<'a>) -> Result<(), Declined> {
        self.counters.clear();
        self.may_be_banned = false;
        let mut last: Option<(&Key, Location, &Segment)> = None;
        for (policy, item) in check.items().enumerate() {
            let key = &item.subject.key;
            // Mostly all policies count the same key, which is compared faster than hashed.
            let (location, segment) = match last {
                Some((same, location, segment)) if same == key => (location, segment),
                _ => {
                    let location = self.store.location(key);
                    (location, self.store.segment(location))
                }
            };
            last = Some((key, location, segment));
            self.read_slots_of(policy, item, location, segment)?;
            // Asked after the slots: a strike that bans has claimed them before.
            self.may_be_banned |= item.may_be_banned() && self.store.bans.may_have(location);
        }
        Ok(())
    }

    #[inline]
    fn read_slots_of(
        &mut self,
        policy: usize,
        item: Item<'a>,
        location: Location,
        segment: &'a Segment,
    ) -> Result<(), Declined> {
        let Shared { table, counter_ids, .. } = self.store;
        let Counters { quotas, .. } = item.policy.counters();
        // The quotas of a policy are in one bucket. They have come together, so mostly into
        // slots that follow each other.
        let namespace = quotas.first().map_or(0, |counter| counter.spec.namespace);
        let bucket = segment.bucket(location.of(namespace, table).bucket);
        let mut guess = Bucket::first(location.digest);
        for (quota, counter) in quotas.iter().enumerate() {
            let spec = &counter.spec;
            let id = counter_ids.cached(&counter.id).ok_or(Declined)?;
            let tag = Tag::counter(location.digest, spec.namespace, id);
            let (number, slot) = bucket.find_guessed(guess, tag).ok_or(Declined)?;
            guess = number + 1;
            let read = slot.read(tag).ok_or(Declined)?;
            self.counters.push(Counted {
                at: QuotaPosition { policy, quota },
                encoding: &spec.encoding,
                slot: SlotCharge { slot, read, charged: None },
                is_near_limit: false,
            });
        }
        Ok(())
    }

    /// Decides what each slot is charged: nothing, if one of the quotas refuses, or a ban.
    #[inline]
    fn charge_slots(&mut self, check: &Check<'_>) -> Result<(), Declined> {
        let ban = if self.may_be_banned { self.ban_in_force(check)? } else { None };
        let Self { store, counters, now, .. } = self;
        let mut passes = true;
        for Counted { encoding, slot, is_near_limit, .. } in &mut *counters {
            let checked = encoding.check(slot.read.payload(), check.cost(), *now, store.origin);
            let checked: AnyWordCheck = checked.ok_or(Declined)?;
            passes &= checked.passes;
            *is_near_limit = checked.is_near_limit;
            slot.charged = checked.charged;
        }
        if !passes && ban.is_none() && check.items().any(|item| item.may_strike()) {
            return Err(Declined);
        }
        self.is_refused = !passes || ban.is_some();
        self.ban = ban;
        if self.is_refused {
            self.counters.iter_mut().for_each(|counted| counted.slot.charged = None);
        }
        Ok(())
    }

    /// Returns the ban in force that ends last.
    #[inline(never)]
    fn ban_in_force(&self, check: &Check<'_>) -> Result<Option<PolicyBan>, Declined> {
        let mut last: Option<PolicyBan> = None;
        for (policy, item) in check.items().enumerate() {
            let location = self.store.location(&item.subject.key);
            let own = self.store.slotted_ban(item, location, self.now)?;
            let own = own.map(|until| PolicyBan { policy, until });
            last = last.into_iter().chain(own).max_by_key(|ban| ban.until);
        }
        Ok(last)
    }

    #[inline]
    pub(crate) fn is_admitted(&self) -> bool {
        !self.is_refused
    }

    /// Calls with the position of each policy, and true if one of its quotas is near its limit.
    #[inline]
    pub(crate) fn for_each_policy(&self, mut call: impl FnMut(usize, bool)) {
        let mut is_near_limit = false;
        for (counted, next) in self.counters.iter().zip(1..) {
            is_near_limit |= counted.is_near_limit;
            let policy = counted.at.policy;
            if self.counters.get(next).is_none_or(|next| next.at.policy != policy) {
                call(policy, mem::take(&mut is_near_limit));
            }
        }
    }

    /// Returns the decision of a check that is admitted.
    #[allow(clippy::inline_always, reason = "see one_bucket")]
    #[inline(always)]
    pub(crate) fn admission(&self) -> Decision {
        let Self { store, counters, now, .. } = self;
        // Each is written where it stays: pushed one by one, they were moved right after they
        // were written, which took an eighth of a check of two quotas.
        let status =
            |Counted { at, encoding, slot: SlotCharge { read, charged, .. }, .. }: &Counted<'_>| {
                let word = charged.unwrap_or(read.payload());
                encoding.with_usage(word, *now, store.origin, |usage| {
                    QuotaStatus::new(*at, false, Wait::None, usage)
                })
            };
        let mut statuses: Vec<QuotaStatus> = Vec::with_capacity(counters.len());
        statuses.extend(counters.iter().map(status));
        Decision::admitted(*now, ShortList::of_many(statuses))
    }

    /// Returns the decision of a check of that cost that is refused.
    #[inline(never)]
    pub(crate) fn refusal(&self, cost: u64) -> Decision {
        let Self { store, counters, now, ban, .. } = self;
        let status = |Counted { at, encoding, slot, .. }: &Counted<'_>| {
            let usage = encoding.unpack(slot.read.payload(), *now, store.origin);
            QuotaStatus::new(*at, false, usage.wait(cost), usage)
        };
        Decision::of(*now, *ban, counters.iter().map(status).collect())
    }
}

#[cfg(test)]
mod tests;

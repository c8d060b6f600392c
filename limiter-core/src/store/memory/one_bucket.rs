//! The commonest check, without a lock: of one quota, whose slot is there.
//!
//! It is compiled into its caller, with all that it calls and for one algorithm alone: a
//! decision that functions or branches hand on is copied by each, which took a third of a
//! check. (With the windows in the same function, a check by `gcra` took a third more.)

mod newcomer;
mod outcome;

pub(crate) use self::outcome::{BucketAdmission, BucketCheck, BucketRefusal};
use super::{
    MemoryStore, Shared,
    fast_path::Declined,
    slot::{Slot, Tag},
    table::{Location, Segment},
};
use crate::{
    algorithm::{Wait, WordCheck, WordUsage},
    check::{Check, Item},
    policy::Counter,
};

impl MemoryStore {
    /// Decides a check of one quota by that algorithm, if the slot of its key is there.
    ///
    /// To ask again where another check came in between is the caller's: in a loop, numbers are
    /// stored for the next pass, a tenth of a check.
    #[allow(clippy::inline_always, reason = "see the module")]
    #[inline(always)]
    pub(crate) fn check_one_bucket<'a, U: WordUsage>(
        &'a self,
        check: &Check<'a>,
    ) -> Result<BucketCheck<'a, U>, Undecided<'a>> {
        let (item, counter) = only_counter::<U>(check)?;
        let encoding = &counter.spec.encoding;
        let token = self.0.counter_ids.token();
        let FoundSlot { of_key, slot, tag } = self.0.find_slot(item, counter)?;
        let read = slot.read(tag).ok_or(Declined)?;
        // Else the id may have passed to another counter of its namespace in between.
        if self.0.counter_ids.token() != token {
            return Err(Undecided::Declined);
        }
        let now = self.0.clock.now();
        let checked = U::check(encoding, Some(read.payload()), check.cost(), now, self.0.origin);
        let WordCheck { before, after, wait, charged } = checked.ok_or(Declined)?;
        let banned_until = self.0.slotted_ban(item, of_key, now)?;
        if wait == Wait::None && banned_until.is_none() {
            if !slot.write_checked(read, charged) {
                return Err(Undecided::Changed);
            }
            return Ok(BucketCheck::Admitted(BucketAdmission { encoding, now, usage: after }));
        }
        if banned_until.is_none() && item.may_strike() {
            return Err(Undecided::Declined);
        }
        if !slot.write_checked(read, None) {
            return Err(Undecided::Changed);
        }
        let (store, digest, usage) = (&*self.0, of_key.digest, before);
        Ok(BucketCheck::Refused(BucketRefusal {
            store,
            digest,
            encoding,
            now,
            usage,
            wait,
            banned_until,
        }))
    }
}

/// Returns the item of a check of one quota by that algorithm, and its counter.
#[allow(clippy::inline_always, reason = "see the module")]
#[inline(always)]
fn only_counter<'a, U: WordUsage>(check: &Check<'a>) -> Result<(Item<'a>, &'a Counter), Declined> {
    let item = check.only_item().filter(|_| check.is_simple()).ok_or(Declined)?;
    match &item.policy.counters().quotas[..] {
        [counter] if counter.spec.quota.algorithm() == U::ALGORITHM => Ok((item, counter)),
        _ => Err(Declined),
    }
}

/// A check of one quota that is not decided by the slot of its key; nothing was done.
pub(crate) enum Undecided<'a> {
    /// Another check has charged the slot in between.
    Changed,
    /// The key has no slot.
    NoSlot(MissingSlot<'a>),
    /// It takes another path.
    Declined,
}

impl From<Declined> for Undecided<'_> {
    fn from(Declined: Declined) -> Self {
        Self::Declined
    }
}

/// The slot of a counter's key.
pub(super) struct FoundSlot<'a> {
    /// The place of all that the key has.
    pub(super) of_key: Location,
    pub(super) slot: &'a Slot,
    pub(super) tag: Tag,
}

/// Where a key has no slot of a counter.
#[derive(Clone, Copy)]
pub(crate) struct MissingSlot<'a> {
    /// The place of all that the key has.
    of_key: Location,
    /// The place of its counters.
    location: Location,
    segment: &'a Segment,
    tag: Tag,
}

impl Shared {
    /// Returns the slot of a counter's key, if it is there.
    #[allow(clippy::inline_always, reason = "see the module")]
    #[inline(always)]
    pub(super) fn find_slot(
        &self,
        item: Item<'_>,
        Counter { spec, id }: &Counter,
    ) -> Result<FoundSlot<'_>, Undecided<'_>> {
        let id = self.counter_ids.cached(id).ok_or(Declined)?;
        let of_key = self.location(&item.subject.key);
        let tag = Tag::counter(of_key.digest, spec.namespace, id);
        let location = of_key.of(spec.namespace, &self.table);
        let segment = self.segment(location);
        match segment.find(location.bucket, tag) {
            Some(slot) => Ok(FoundSlot { of_key, slot, tag }),
            None => Err(Undecided::NoSlot(MissingSlot { of_key, location, segment, tag })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Decision,
        algorithm::{Grains, Window, Windows},
        check::Subject,
        key::Key,
        policy::Policy,
        quota::Quota,
    };

    /// By the system's clock, the windows of large limits have words, whatever the algorithm.
    #[test]
    fn a_key_that_is_there_is_checked_without_a_lock() {
        check_under_a_lock::<Grains>();
        check_under_a_lock::<Window>();
        check_under_a_lock::<Windows>();
    }

    fn check_under_a_lock<U: WordUsage>() {
        let quota = Quota::per_second(1_000_000).unwrap().with_algorithm(U::ALGORITHM).unwrap();
        let (policies, store) = ([Policy::new("api", quota).unwrap()], MemoryStore::new());
        let subjects = [Subject::new(Key::user("alice"))];
        let check = Check::new(&policies, &subjects, 1);
        assert!(store.decide_at_once(&check).unwrap().is_allowed());
        let _locked = store.0.segment(store.0.location(&subjects[0].key)).lock();
        let checked = store.check_one_bucket::<U>(&check).ok();
        let decision = checked.map(BucketCheck::decision).filter(Decision::is_allowed);
        let remaining = decision.map(|decision| decision.quotas()[0].remaining());
        assert!(remaining.is_some_and(|left| left >= 999_998), "{:?}: {remaining:?}", U::ALGORITHM);
    }
}

//! The commonest check, without a lock: of one quota, whose slot is there.
//!
//! It is compiled into its caller, with all that it calls and for one algorithm alone: a
//! decision that functions or branches hand on is copied by each, which took a third of a
//! check. (With the windows in the same function, a check by `gcra` took a third more.)

mod newcomer;

use super::{
    MemoryStore, Shared,
    fast_path::{Declined, FIRST},
    slot::{Slot, Tag},
    table::Location,
};
use crate::{
    algorithm::{Wait, WordCheck, WordEncoding, WordUsage},
    check::{Check, Item},
    decision::{Decision, PolicyBan, QuotaStatus},
    policy::Counter,
    quota::Quota,
    short_list::ShortList,
    time::{Clock, SystemClock, Timestamp},
};

/// A check of one quota, as it was decided: few numbers, of which its caller makes the
/// decision in the end.
#[derive(Clone, Copy)]
pub(crate) struct BucketCheck<'a, U> {
    store: &'a Shared,
    digest: u64,
    encoding: &'a WordEncoding,
    now: Timestamp,
    usage: U,
    wait: Wait,
    banned_until: Option<Timestamp>,
}

impl<U: WordUsage> BucketCheck<'_, U> {
    #[inline]
    pub(crate) fn is_admitted(self) -> bool {
        self.wait == Wait::None && self.banned_until.is_none()
    }

    #[inline]
    pub(crate) fn wait(self) -> Wait {
        self.wait
    }

    /// Returns the quota that refuses it; `None` if a ban does.
    #[inline]
    pub(crate) fn refusing_quota(self) -> Option<Quota> {
        self.banned_until.is_none().then(|| *self.encoding.quota())
    }

    #[inline]
    pub(crate) fn is_near_limit(self) -> bool {
        self.usage.is_near_limit(self.encoding, self.now)
    }

    /// Returns the [keyed hash](crate::Key::keyed_hash) of the key.
    #[inline]
    pub(crate) fn digest(self) -> u64 {
        self.digest
    }

    /// Returns the instant at which it was decided, by the clock of this host.
    #[inline]
    pub(crate) fn host_time(self) -> Timestamp {
        if self.store.clock.may_step_back() { SystemClock.now() } else { self.now }
    }

    pub(super) fn decision(self) -> Decision {
        if self.is_admitted() { self.admission() } else { self.refusal() }
    }

    /// Returns the decision of a check that is admitted.
    #[inline]
    pub(crate) fn admission(self) -> Decision {
        Decision::admitted(self.now, ShortList::of_one(self.status()))
    }

    /// Returns the decision of a check that is refused.
    #[inline]
    pub(crate) fn refusal(self) -> Decision {
        let ban = self.banned_until.map(|until| PolicyBan { policy: 0, until });
        Decision::of(self.now, ban, ShortList::of_one(self.status()))
    }

    #[inline]
    fn status(self) -> QuotaStatus {
        let usage = self.usage.usage(self.encoding, self.now);
        QuotaStatus::new(FIRST, false, self.wait, usage)
    }
}

impl MemoryStore {
    /// Decides a check of one quota by that algorithm, if the slot of its key is there.
    /// Returns `None`, with nothing done, if another check has charged it meanwhile: to ask
    /// again is the caller's, since in a loop numbers are stored for the next pass, a tenth of
    /// a check.
    #[allow(clippy::inline_always, reason = "see the module")]
    #[inline(always)]
    pub(crate) fn check_one_bucket<'a, U: WordUsage>(
        &'a self,
        check: &Check<'a>,
    ) -> Result<Option<BucketCheck<'a, U>>, Declined> {
        let (item, counter) = only_counter::<U>(check)?;
        let encoding = &counter.spec.encoding;
        let token = self.0.counter_ids.token();
        let FoundSlot { location, slot, tag } = self.0.find_slot(item, counter)?;
        let read = slot.read(tag).ok_or(Declined)?;
        // Else the id may have passed to another counter of its namespace in between.
        if self.0.counter_ids.token() != token {
            return Err(Declined);
        }
        let now = self.0.clock.now();
        let checked = U::check(encoding, Some(read.payload()), check.cost(), now, self.0.origin);
        let WordCheck { before, after, wait, charged } = checked.ok_or(Declined)?;
        let banned_until = self.0.slotted_ban(item, location, now)?;
        let charged = charged.filter(|_| banned_until.is_none());
        if wait != Wait::None && banned_until.is_none() && item.may_strike() {
            return Err(Declined);
        }
        if !slot.write_checked(read, charged) {
            return Ok(None);
        }
        let usage = if charged.is_some() { after } else { before };
        let (store, digest) = (&*self.0, location.digest);
        Ok(Some(BucketCheck { store, digest, encoding, now, usage, wait, banned_until }))
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

/// The slot of a counter's key.
pub(super) struct FoundSlot<'a> {
    pub(super) location: Location,
    pub(super) slot: &'a Slot,
    pub(super) tag: Tag,
}

impl Shared {
    /// Returns the slot of a counter's key, if it is there.
    #[allow(clippy::inline_always, reason = "see the module")]
    #[inline(always)]
    pub(super) fn find_slot(
        &self,
        item: Item<'_>,
        Counter { spec, id }: &Counter,
    ) -> Result<FoundSlot<'_>, Declined> {
        let id = self.counter_ids.cached(id).ok_or(Declined)?;
        let location = self.location(&item.subject.key);
        let tag = Tag::counter(location.digest, spec.namespace, id);
        let of_counter = location.of(spec.namespace, &self.table);
        let slot = self.segment(of_counter).find(of_counter.bucket, tag).ok_or(Declined)?;
        Ok(FoundSlot { location, slot, tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
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
        let checked = store.check_one_bucket::<U>(&check).ok().flatten();
        let decision = checked.filter(|checked| checked.is_admitted()).map(BucketCheck::admission);
        let remaining = decision.map(|decision| decision.quotas()[0].remaining());
        assert!(remaining.is_some_and(|left| left >= 999_998), "{:?}: {remaining:?}", U::ALGORITHM);
    }
}

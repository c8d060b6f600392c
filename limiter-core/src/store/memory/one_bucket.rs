//! The commonest check, without a lock: of one quota by `gcra`, whose slot is there.
//!
//! It is compiled into its caller, with all that it calls and for this algorithm alone: a
//! decision that functions or branches hand on is copied by each, which took a third of a
//! check. (With the windows in the same function, a check by `gcra` took a third more, and
//! theirs hardly less.)

use super::{
    MemoryStore, Shared,
    fast_path::{Declined, FIRST},
    slot::{Slot, Tag},
    table::Location,
};
use crate::{
    algorithm::{GcraCheck, Grains, Wait, WordEncoding},
    check::{Check, Item},
    decision::{Decision, PolicyBan, QuotaStatus},
    policy::Counter,
    quota::Quota,
    short_list::ShortList,
    time::{Clock, SystemClock, Timestamp},
};

/// A check of one quota by `gcra`, as it was decided: few numbers, of which its caller makes
/// the decision in the end.
#[derive(Clone, Copy)]
pub(crate) struct BucketCheck<'a> {
    store: &'a Shared,
    digest: u64,
    encoding: &'a WordEncoding,
    now: Timestamp,
    debt: Grains,
    wait: Wait,
    banned_until: Option<Timestamp>,
}

impl BucketCheck<'_> {
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
        self.encoding.is_near_limit(self.debt)
    }

    /// Returns the [keyed hash](crate::Key::keyed_hash) of the key.
    #[inline]
    pub(crate) fn digest(self) -> u64 {
        self.digest
    }

    /// Returns the instant at which it was decided, by the clock of this host.
    #[inline]
    pub(crate) fn host_time(self) -> Timestamp {
        if self.store.may_step_back { SystemClock.now() } else { self.now }
    }

    /// Returns the decision of a check that is admitted.
    #[inline]
    pub(crate) fn admission(self) -> Decision {
        Decision::admitted(self.now, ShortList::of_one(self.status()))
    }

    /// Returns the decision of a check that is refused.
    #[cold]
    pub(crate) fn refusal(self) -> Decision {
        let ban = self.banned_until.map(|until| PolicyBan { policy: 0, until });
        Decision::of(self.now, ban, ShortList::of_one(self.status()))
    }

    #[inline]
    fn status(self) -> QuotaStatus {
        let usage = self.encoding.usage_of_debt(self.debt, self.now);
        QuotaStatus::new(FIRST, false, self.wait, usage)
    }
}

impl MemoryStore {
    /// Decides a check of one quota by `gcra`, if the slot of its key is there.
    #[allow(clippy::inline_always, reason = "see the module")]
    #[inline(always)]
    pub(crate) fn check_one_bucket<'a>(
        &'a self,
        check: &Check<'a>,
    ) -> Result<BucketCheck<'a>, Declined> {
        let item = check.only_item().filter(|_| check.is_simple()).ok_or(Declined)?;
        let [counter] = &item.policy.counters().quotas[..] else { return Err(Declined) };
        let encoding = &counter.spec.encoding;
        if !encoding.is_gcra() {
            return Err(Declined);
        }
        let FoundSlot { location, slot, tag } = self.0.find_slot(item, counter)?;
        loop {
            let read = slot.read(tag).ok_or(Declined)?;
            let now = self.0.clock.now();
            let checked = encoding.check_gcra(read.payload(), check.cost(), now, self.0.origin);
            let GcraCheck { before, after, wait, charged } = checked.ok_or(Declined)?;
            let banned_until = self.0.slotted_ban(item, location, now)?;
            let charged = charged.filter(|_| banned_until.is_none());
            if wait != Wait::None && banned_until.is_none() && item.may_strike() {
                return Err(Declined);
            }
            if slot.write_checked(read, charged) {
                let debt = if charged.is_some() { after } else { before };
                let (store, digest) = (&*self.0, location.digest);
                return Ok(BucketCheck { store, digest, encoding, now, debt, wait, banned_until });
            }
        }
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
        let bucket = location.of(spec.namespace, &self.table).bucket;
        let slot = self.table.bucket(bucket).find(location.digest, tag).ok_or(Declined)?;
        Ok(FoundSlot { location, slot, tag })
    }
}

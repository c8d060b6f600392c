//! The commonest check, without a lock: of one quota by `gcra`, whose slot is there.
//!
//! It is compiled into its caller, with all that it calls and for this algorithm alone: a
//! decision that functions or branches hand on is copied by each, which took a third of a
//! check. (With the windows in the same function, a check by `gcra` took a third more, and
//! theirs hardly less.)

use super::{
    MemoryStore, Shared,
    fast_path::{Declined, FIRST},
    slot::Tag,
    table::Location,
};
use crate::{
    algorithm::{GcraCheck, Grains, Wait, WordEncoding},
    check::{Check, Item},
    decision::{Decision, PolicyBan, QuotaStatus},
    policy::Counter,
    short_list::ShortList,
    time::Timestamp,
};

/// A check of one quota by `gcra`, as it was decided: few numbers, of which its caller makes
/// the decision in the end.
#[derive(Clone, Copy)]
pub(crate) struct BucketCheck<'a> {
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
    pub(crate) fn is_near_limit(self) -> bool {
        self.encoding.is_near_limit(self.debt)
    }

    /// Returns the decision of a check that is admitted.
    #[inline]
    pub(crate) fn admission(self) -> Decision {
        Decision::of_quota(self.now, self.status())
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
        &self,
        check: &Check<'a>,
    ) -> Result<BucketCheck<'a>, Declined> {
        let item = check.only_item().filter(|_| check.is_simple()).ok_or(Declined)?;
        let [counter] = &item.policy.counters().quotas[..] else { return Err(Declined) };
        let encoding = &counter.spec.encoding;
        if !encoding.is_gcra() {
            return Err(Declined);
        }
        self.0.decide_without_lock(item, counter, |location, payload, now| {
            let checked = encoding.check_gcra(payload, check.cost(), now, self.0.origin);
            let GcraCheck { before, after, wait, charged } = checked.ok_or(Declined)?;
            let banned_until = self.0.slotted_ban(item, location, now)?;
            if banned_until.is_some() {
                let refused = BucketCheck { encoding, now, debt: before, wait, banned_until };
                return Ok((None, refused));
            }
            if wait != Wait::None && check.may_strike() {
                return Err(Declined);
            }
            let debt = if charged.is_some() { after } else { before };
            Ok((charged, BucketCheck { encoding, now, debt, wait, banned_until }))
        })
    }
}

impl Shared {
    /// Decides a check of one quota by its word, without a lock. `decide` returns the word
    /// to write, if one is, and what is returned.
    #[allow(clippy::inline_always, reason = "see the module")]
    #[inline(always)]
    pub(super) fn decide_without_lock<D>(
        &self,
        item: Item<'_>,
        Counter { spec, id }: &Counter,
        decide: impl Fn(Location, u64, Timestamp) -> Result<(Option<u64>, D), Declined>,
    ) -> Result<D, Declined> {
        let id = self.counter_ids.cached(id).ok_or(Declined)?;
        let location = self.location(&item.subject.key);
        let tag = Tag::counter(location.digest, spec.namespace, id);
        let bucket = location.of(spec.namespace, &self.table).bucket;
        let slot = self.table.bucket(bucket).find(location.digest, tag).ok_or(Declined)?;
        loop {
            let read = slot.read(tag).ok_or(Declined)?;
            let (charged, decided) = decide(location, read.payload(), self.clock.now())?;
            let is_done = match charged {
                Some(word) => slot.replace(read, word),
                None => slot.is_still(read),
            };
            if is_done {
                return Ok(decided);
            }
        }
    }
}

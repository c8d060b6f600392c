//! The outcome of a check of one quota: few numbers, of which its caller makes the decision in
//! the end.

use crate::{
    algorithm::{Wait, WordEncoding, WordUsage},
    decision::{Decision, PolicyBan, QuotaStatus},
    quota::Quota,
    short_list::ShortList,
    store::memory::{Shared, fast_path::FIRST},
    time::{Clock, SystemClock, Timestamp},
};

/// A check of one quota, as it was decided. An admission has only what it takes, since a check
/// stores what it returns.
pub(crate) enum BucketCheck<'a, U> {
    Admitted(BucketAdmission<'a, U>),
    Refused(BucketRefusal<'a, U>),
}

impl<U: WordUsage> BucketCheck<'_, U> {
    pub(in crate::store::memory) fn decision(self) -> Decision {
        match self {
            Self::Admitted(admission) => admission.decision(),
            Self::Refused(refusal) => refusal.decision(),
        }
    }
}

/// A check that a quota admits, and its usage with the cost.
#[derive(Clone, Copy)]
pub(crate) struct BucketAdmission<'a, U> {
    pub(super) encoding: &'a WordEncoding,
    pub(super) now: Timestamp,
    pub(super) usage: U,
}

impl<U: WordUsage> BucketAdmission<'_, U> {
    #[inline]
    pub(crate) fn is_near_limit(self) -> bool {
        self.usage.is_near_limit(self.encoding, self.now)
    }

    #[inline]
    pub(crate) fn decision(self) -> Decision {
        let usage = self.usage.usage(self.encoding, self.now);
        let status = QuotaStatus::new(FIRST, false, Wait::None, usage);
        Decision::admitted(self.now, ShortList::of_one(status))
    }
}

/// A check that a quota or a ban refuses, and the usage of the quota.
#[derive(Clone, Copy)]
pub(crate) struct BucketRefusal<'a, U> {
    pub(super) store: &'a Shared,
    pub(super) digest: u64,
    pub(super) encoding: &'a WordEncoding,
    pub(super) now: Timestamp,
    pub(super) usage: U,
    pub(super) wait: Wait,
    pub(super) banned_until: Option<Timestamp>,
}

impl<U: WordUsage> BucketRefusal<'_, U> {
    #[inline]
    pub(crate) fn wait(self) -> Wait {
        self.wait
    }

    /// Returns the quota that refuses it; `None` if a ban does.
    #[inline]
    pub(crate) fn refusing_quota(self) -> Option<Quota> {
        self.banned_until.is_none().then(|| *self.encoding.quota())
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

    #[inline]
    pub(crate) fn decision(self) -> Decision {
        let ban = self.banned_until.map(|until| PolicyBan { policy: 0, until });
        let usage = self.usage.usage(self.encoding, self.now);
        let status = QuotaStatus::new(FIRST, false, self.wait, usage);
        Decision::of(self.now, ban, ShortList::of_one(status))
    }
}

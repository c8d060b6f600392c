//! The status of one quota after a check: [`QuotaStatus`].

use std::time::Duration;

use super::Retry;
use crate::{
    algorithm::{Summary, Usage, Wait},
    quota::Quota,
};

/// The status of one quota of one policy, after the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QuotaStatus {
    place: QuotaPosition,
    pub(crate) usage: Usage<Summary>,
    /// How long the request has to wait, in microseconds: a [`Wait`] in one
    /// word, `NEVER` for one that asks for more than the quota ever holds.
    wait: u64,
}

const NEVER: u64 = u64::MAX;

impl QuotaStatus {
    /// Returns the status of a quota under which the request has to wait so long.
    #[inline]
    pub(crate) fn new(at: QuotaPosition, shadow: bool, wait: Wait, usage: Usage<Summary>) -> Self {
        let wait = match wait {
            Wait::None => 0,
            Wait::Micros(micros) => micros,
            Wait::Never => NEVER,
        };
        Self { place: at.with_shadow(shadow), usage, wait }
    }

    #[inline]
    pub(crate) const fn wait(&self) -> Wait {
        match self.wait {
            0 => Wait::None,
            NEVER => Wait::Never,
            micros => Wait::Micros(micros),
        }
    }

    /// Returns the same refusal at a later instant.
    #[cfg(feature = "memory")]
    pub(crate) fn at(&self, now: crate::time::Timestamp) -> Self {
        let usage = Usage::at(*self.quota(), self.usage.state(), now);
        let wait = match self.wait {
            NEVER => NEVER,
            micros => micros.saturating_sub(now.micros_since(self.usage.now())),
        };
        Self { usage, wait, ..*self }
    }

    /// The position of the policy among those checked.
    #[must_use]
    pub const fn policy(&self) -> usize {
        self.place.policy()
    }

    /// The same status, of the policy at another position.
    pub(super) fn moved_to(self, policy: usize) -> Self {
        let place = QuotaPosition::new(policy, self.index()).with_shadow(self.is_shadow());
        Self { place, ..self }
    }

    /// The position of the quota among those of its policy.
    pub(crate) const fn index(&self) -> usize {
        self.place.quota()
    }

    /// The quota.
    #[must_use]
    pub const fn quota(&self) -> &Quota {
        self.usage.quota()
    }

    /// Units per window.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.quota().limit()
    }

    /// Units left, after this request if it was admitted.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.usage.remaining()
    }

    /// How long until nothing is used any more, if nothing else arrives.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        Duration::from_micros(self.usage.reset_after())
    }

    /// Returns true if this quota refused the request.
    #[inline]
    #[must_use]
    pub const fn refuses(&self) -> bool {
        self.wait > 0
    }

    /// How long this quota alone makes the same request wait.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::after(self.wait())
    }

    /// Returns true if at most a fifth of what can be used at once is left.
    #[inline]
    #[must_use]
    pub fn is_near_limit(&self) -> bool {
        self.usage.is_near_limit()
    }

    /// Returns true if the policy is in shadow mode.
    #[must_use]
    pub const fn is_shadow(&self) -> bool {
        self.place.is_shadow()
    }
}

/// The place of a quota in a check: the position of its policy, its own within, and a bit for
/// shadow mode. One word, since a decision is moved right after it is written: see `KeyBytes`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct QuotaPosition(u64);

const POLICY_BITS: u32 = 32;
const QUOTA_BITS: u32 = 16;
const SHADOW: u64 = 1 << (POLICY_BITS + QUOTA_BITS);

impl QuotaPosition {
    /// Returns the place of a quota of an enforced policy. Nobody has 2^32 policies in one
    /// check, or 65,536 quotas in one policy.
    #[inline]
    pub(crate) const fn new(policy: usize, quota: usize) -> Self {
        let policy = policy as u64 & ((1 << POLICY_BITS) - 1);
        Self(policy | (quota as u64 & ((1 << QUOTA_BITS) - 1)) << POLICY_BITS)
    }

    #[inline]
    const fn with_shadow(self, shadow: bool) -> Self {
        if shadow { Self(self.0 | SHADOW) } else { self }
    }

    #[inline]
    pub(crate) const fn policy(self) -> usize {
        (self.0 & ((1 << POLICY_BITS) - 1)) as usize
    }

    const fn quota(self) -> usize {
        (self.0 >> POLICY_BITS & ((1 << QUOTA_BITS) - 1)) as usize
    }

    const fn is_shadow(self) -> bool {
        self.0 & SHADOW != 0
    }
}

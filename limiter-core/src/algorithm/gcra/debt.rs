//! The debt of a bucket: how far its arrival time lies ahead of now.

use std::fmt;

use super::wait_time::believed;
use crate::algorithm::div_ceil;
#[cfg(feature = "redis")]
use crate::algorithm::div_rem;
use crate::quota::{MAX_DRAIN, Quota};

/// How far the arrival time lies ahead of now, in `1 / limit` microseconds.
///
/// A limit changed from 10 to 20 finds the same debt: it stands for used units
/// times the window, whatever the limit. Until the next charge it drains at the limit
/// it was written with, since a refusal writes nothing.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::algorithm) struct Debt {
    // A u128 in halves, which are aligned as everything else in a decision is.
    high: u64,
    low: u64,
    /// Debt that a microsecond pays back: the limit that the debt was written with.
    rate: u64,
}

/// An arrival time further ahead is none of a quota's: two buckets of those that take
/// longest to drain, in microseconds.
pub(super) const MAX_LEAD: u64 = 2 * MAX_DRAIN as u64;

/// How far a reader's clock may be behind that of a charge beyond the limit, in
/// microseconds.
const SKEW: u64 = 1_000_000;

pub(super) fn capacity(quota: &Quota) -> u128 {
    cost_of(quota, quota.burst())
}

pub(super) fn cost_of(quota: &Quota, units: u64) -> u128 {
    u128::from(units) * u128::from(quota.window_micros())
}

impl Debt {
    pub(in crate::algorithm) const fn new(quota: &Quota, debt: u128) -> Self {
        Self { high: (debt >> 64) as u64, low: debt as u64, rate: quota.limit() }
    }

    pub(in crate::algorithm) const fn debt(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// Returns true if it was written with the quota's limit, or charged since.
    #[cfg(feature = "memory")]
    pub(in crate::algorithm) const fn is_of(self, quota: &Quota) -> bool {
        self.rate == quota.limit()
    }

    /// The same debt, as it was written with that limit.
    pub(super) const fn at_rate(self, rate: u64) -> Self {
        Self { rate, ..self }
    }

    pub(super) const fn rate(self) -> u64 {
        self.rate
    }

    /// A debt that was kept, by a quota of that burst then: [`believed`] up to two buckets
    /// of the larger.
    #[inline]
    pub(in crate::algorithm) fn bounded(quota: &Quota, debt: u128, burst: u64) -> Self {
        Self::new(quota, believed(debt, cost_of(quota, quota.burst().max(burst))))
    }

    /// The burst that a state of that debt is kept with: the quota's, or the least one by
    /// which [`bounded`](Self::bounded) believes it.
    ///
    /// A debt of two large buckets that is written again under a smaller burst would
    /// count as none otherwise. It never exceeds the largest burst that the debt was
    /// charged by, and becomes less as the debt is paid back.
    #[inline]
    pub(super) fn burst_to_keep(self, quota: &Quota) -> u64 {
        if self.is_within_bounds(quota) {
            return quota.burst();
        }
        div_ceil(self.debt(), 2 * quota.window_micros())
    }

    /// Returns true if the quota's own burst is enough to believe it.
    #[inline]
    pub(in crate::algorithm) fn is_within_bounds(self, quota: &Quota) -> bool {
        self.debt() <= 2 * capacity(quota)
    }

    /// The most debt that is charged: two full buckets, less [`SKEW`] or a quarter of
    /// that. More than two buckets would count as a clock that has stepped back
    /// ([`bounded`](Self::bounded)), and so would two for a reader whose clock is behind.
    pub(in crate::algorithm) fn most(quota: &Quota) -> Self {
        let full = capacity(quota);
        // A multiple of the limit, as every debt that time pays back.
        let limit = u128::from(quota.limit());
        let skew = (full / limit / 2).min(u128::from(SKEW)) * limit;
        Self::new(quota, 2 * full - skew)
    }

    /// Units as debt.
    pub(in crate::algorithm) fn of(quota: &Quota, units: u64) -> Self {
        Self::new(quota, cost_of(quota, units))
    }

    pub(in crate::algorithm) fn full(quota: &Quota) -> Self {
        Self::new(quota, capacity(quota))
    }

    #[cfg(feature = "memory")]
    pub(in crate::algorithm) const fn minus(self, quota: &Quota, other: Self) -> Self {
        Self::new(quota, self.debt().saturating_sub(other.debt()))
    }

    pub(in crate::algorithm) const fn plus(self, quota: &Quota, other: Self) -> Self {
        Self::new(quota, self.debt().saturating_add(other.debt()))
    }

    /// Returns true if the units that are left are at most a fifth of the bucket.
    #[inline]
    pub(in crate::algorithm) fn is_near_limit(self, quota: &Quota) -> bool {
        self.debt() + cost_of(quota, quota.burst() / 5 + 1) > capacity(quota)
    }

    /// Whole microseconds, and the rest in `1 / limit` of one.
    #[cfg(feature = "redis")]
    pub(super) fn parts(self, quota: &Quota) -> [u64; 2] {
        let (whole, rest) = div_rem(self.debt(), quota.limit());
        [whole, rest]
    }
}

impl fmt::Debug for Debt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Debt({})", self.debt())
    }
}

//! The generic cell rate algorithm (ITU-T I.371), as a token bucket.
//!
//! Each unit pushes the theoretical arrival time `window / limit` further into
//! the future; a request passes while that time stays within `burst` units of
//! now. `window / limit` need not be whole, so the debt is counted in units of
//! `1 / limit` microseconds, in which one unit of the quota is exactly
//! `window`, and one microsecond pays back exactly `limit`.

use std::fmt;

use super::{Mark, State, Wait, div_ceil, div_rem};
use crate::{
    quota::{MAX_WINDOW, Quota},
    time::Timestamp,
};

/// How far the arrival time lies ahead of now, in `1 / limit` microseconds.
///
/// A limit changed from 10 to 20 finds the same debt: it stands for used units
/// times the window, whatever the limit. Until the next charge it drains at the limit
/// it was written with, since a refusal writes nothing.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Debt {
    // A u128 in halves, which are aligned as everything else in a decision is.
    high: u64,
    low: u64,
    /// Debt that a microsecond pays back: the limit that the debt was written with.
    rate: u64,
}

/// An arrival time further ahead is none of a quota's.
const MAX_LEAD: u64 = 2 * MAX_WINDOW.as_micros() as u64;

/// How far a reader's clock may be behind that of a charge beyond the limit, in
/// microseconds.
const SKEW: u64 = 1_000_000;

fn capacity(quota: &Quota) -> u128 {
    cost_of(quota, quota.burst())
}

fn cost_of(quota: &Quota, units: u64) -> u128 {
    u128::from(units) * u128::from(quota.window_micros())
}

impl Debt {
    pub(super) const fn new(quota: &Quota, debt: u128) -> Self {
        Self { high: (debt >> 64) as u64, low: debt as u64, rate: quota.limit() }
    }

    pub(super) const fn debt(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// Whether it was written with the quota's limit, or charged since.
    #[cfg(feature = "memory")]
    pub(super) const fn is_of(self, quota: &Quota) -> bool {
        self.rate == quota.limit()
    }

    pub(super) fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        let Some(State::Gcra { tat, fraction, limit, burst }) = state else {
            return Self::new(quota, 0);
        };
        let now = now.as_micros();
        if tat < now || tat - now > MAX_LEAD || limit == 0 {
            return Self::new(quota, 0);
        }
        let debt = u128::from(tat - now) * u128::from(limit) + u128::from(fraction);
        Self { rate: limit, ..Self::bounded(quota, debt, burst) }
    }

    /// A debt that was kept, by a quota of that burst then.
    ///
    /// A lowered limit or burst may leave more than a full bucket, and what was
    /// used counts. Beyond two of the larger, the clock has stepped back, and
    /// clamping would not help: a refusal writes nothing, so the client would
    /// find the clamp again until the clock has caught up.
    #[inline]
    pub(super) fn bounded(quota: &Quota, debt: u128, burst: u64) -> Self {
        let full = cost_of(quota, quota.burst().max(burst));
        Self::new(quota, if debt > 2 * full { 0 } else { debt })
    }

    pub(super) fn state(self, quota: &Quota, now: Timestamp) -> Option<State> {
        let limit = self.rate;
        let (whole, fraction) = div_rem(self.debt(), limit);
        let tat = now.as_micros().saturating_add(whole);
        (self.debt() > 0).then_some(State::Gcra { tat, fraction, limit, burst: quota.burst() })
    }

    #[inline]
    pub(super) fn wait(self, quota: &Quota, _: Timestamp, cost: u64) -> Wait {
        let after = self.debt() + cost_of(quota, cost);
        match after.checked_sub(capacity(quota)) {
            None | Some(0) => Wait::None,
            Some(over) => Wait::Micros(div_ceil(over, self.rate)),
        }
    }

    #[inline]
    pub(super) fn charge(self, quota: &Quota, cost: u64) -> Self {
        Self::new(quota, self.debt() + cost_of(quota, cost))
    }

    /// The debt after `units` more, which may go beyond a full bucket: at most to
    /// [`most`](Self::most), or where it is already.
    pub(super) fn charge_beyond(self, quota: &Quota, units: u64) -> Self {
        let after = self.debt().saturating_add(cost_of(quota, units));
        Self::new(quota, after.min(Self::most(quota).debt()).max(self.debt()))
    }

    /// The most debt that is charged: two full buckets, less [`SKEW`] or a quarter of
    /// that. More than two buckets would count as a clock that has stepped back
    /// ([`bounded`](Self::bounded)), and so would two for a reader whose clock is behind.
    pub(super) fn most(quota: &Quota) -> Self {
        let full = capacity(quota);
        // A multiple of the limit, as every debt that time pays back.
        let limit = u128::from(quota.limit());
        let skew = (full / limit / 2).min(u128::from(SKEW)) * limit;
        Self::new(quota, 2 * full - skew)
    }

    /// Where units that were charged last are: the arrival time behind them.
    pub(super) fn mark(self, now: Timestamp) -> Mark {
        let (whole, fraction) = div_rem(self.debt(), self.rate);
        Mark { at: now.as_micros().saturating_add(whole), fraction }
    }

    /// Without what is left of `units` whose arrival time is that mark: debt is paid
    /// back in the order of the charges, and what time has paid back stays so.
    pub(super) fn give_back(self, quota: &Quota, now: Timestamp, units: u64, mark: Mark) -> Self {
        let left = u128::from(mark.at.saturating_sub(now.as_micros())) * u128::from(quota.limit());
        let fraction = if mark.at < now.as_micros() { 0 } else { mark.fraction };
        match (left + u128::from(fraction)).min(cost_of(quota, units)) {
            0 => self,
            left => Self::new(quota, self.debt().saturating_sub(left)),
        }
    }

    /// Units as debt.
    pub(super) fn of(quota: &Quota, units: u64) -> Self {
        Self::new(quota, cost_of(quota, units))
    }

    pub(super) fn full(quota: &Quota) -> Self {
        Self::new(quota, capacity(quota))
    }

    pub(super) const fn plus(self, quota: &Quota, other: Self) -> Self {
        Self::new(quota, self.debt().saturating_add(other.debt()))
    }

    /// With `added` on top, if it has any debt, and `least` in any case, up to a
    /// full bucket: had every unit been charged here, the arrival time would be
    /// the later of both.
    pub(super) fn with_outage_usage(self, quota: &Quota, added: Self, least: Self) -> Self {
        let added = if self.debt() > 0 { self.plus(quota, added) } else { self };
        let debt = self.max(added.max(least).min(Self::full(quota)));
        Self { rate: quota.limit(), ..debt }
    }

    /// Whole microseconds, and the rest in `1 / limit` of one.
    #[cfg(feature = "redis")]
    pub(super) fn parts(self, quota: &Quota) -> [u64; 2] {
        let (whole, rest) = div_rem(self.debt(), quota.limit());
        [whole, rest]
    }

    pub(super) fn remaining(self, quota: &Quota, _: Timestamp) -> u64 {
        let free = capacity(quota).saturating_sub(self.debt());
        div_rem(free, quota.window_micros()).0
    }

    /// Returns true if the units that are left are at most a fifth of the bucket.
    #[inline]
    pub(super) fn is_near_limit(self, quota: &Quota) -> bool {
        self.debt() + cost_of(quota, quota.burst() / 5 + 1) > capacity(quota)
    }

    pub(super) fn reset_after(self, _: &Quota, _: Timestamp) -> u64 {
        div_ceil(self.debt(), self.rate)
    }
}

impl fmt::Debug for Debt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Debt({})", self.debt())
    }
}

#[cfg(test)]
mod tests;

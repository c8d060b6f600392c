//! What a newcomer to a full store takes over from the keys it displaces: units
//! that go when the windows of those keys would have ended, and not with the
//! newcomer's own.
//!
//! A window cut short to end with them would be one window more than the worst
//! case knows, and one drawn out would let debts add up for as long as the store
//! is overfull. So ends are kept, rounded up to a grid of half windows: three
//! cells of it hold all there is.

use crate::{quota::Quota, time::Timestamp};

const CELLS: usize = 3;

/// Units in force in the cell of now and the next ones, never more in a later
/// one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::algorithm) struct Steps([u64; CELLS]);

/// What a key of a fixed window has taken over from others, to be kept beside its
/// state: see [`Usage::inheriting`](crate::decide::Usage::inheriting).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Inherited {
    /// By number, since the epoch.
    pub(crate) cell: u64,
    pub(crate) units: [u64; CELLS],
}

impl Steps {
    pub(super) fn at(quota: &Quota, inherited: Option<Inherited>, now: Timestamp) -> Self {
        let Some(Inherited { cell: known, units }) = inherited else { return Self::default() };
        let cell = now.as_micros() / half(quota);
        let shifted = |at: usize| match known.checked_sub(cell) {
            // A clock has stepped back: what is in force now was so before.
            Some(ahead) if ahead < CELLS as u64 => {
                Some(units[at.saturating_sub(usize::try_from(ahead).ok()?)])
            }
            Some(_) => None,
            None => units.get(at.checked_add(usize::try_from(cell - known).ok()?)?).copied(),
        };
        Self(std::array::from_fn(|at| shifted(at).unwrap_or(0)))
    }

    pub(super) fn kept(self, quota: &Quota, now: Timestamp) -> Option<Inherited> {
        let cell = || now.as_micros() / half(quota);
        (self.0[0] > 0).then(|| Inherited { cell: cell(), units: self.0 })
    }

    /// A window of `used` units that ends `left` microseconds from now.
    pub(super) fn of_window(quota: &Quota, now: Timestamp, left: u64, used: u64) -> Self {
        let first = to_end_of_cell(quota, now);
        let starts = |at: usize| if at == 0 { 0 } else { first + (at as u64 - 1) * half(quota) };
        Self(std::array::from_fn(|at| if starts(at) < left { used } else { 0 }))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    pub(super) fn max(self, other: Self) -> Self {
        self.each(other, u64::max)
    }

    fn each(self, other: Self, both: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|at| both(self.0[at], other.0[at])))
    }

    /// Units in force now.
    pub(super) const fn now(self) -> u64 {
        self.0[0]
    }

    /// In so many microseconds each step ends, and what is in force then.
    pub(super) fn ends(self, quota: &Quota, now: Timestamp) -> impl Iterator<Item = (u64, u64)> {
        let (first, half) = (to_end_of_cell(quota, now), half(quota));
        let after = move |at: usize| self.0.get(at + 1).copied().unwrap_or(0);
        (0..CELLS).map(move |at| (first + at as u64 * half, after(at)))
    }
}

fn half(quota: &Quota) -> u64 {
    quota.window_micros().div_ceil(2)
}

fn to_end_of_cell(quota: &Quota, now: Timestamp) -> u64 {
    half(quota) - now.as_micros() % half(quota)
}

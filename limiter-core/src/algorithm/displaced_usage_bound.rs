//! Upper bound of usage, in two numbers: units and end. The memory store keeps it,
//! rounded up, of keys that it has displaced.

use super::{Arithmetic, Counting, Usage, by_algorithm, of_algorithm};
use crate::{quota::Quota, time::Timestamp};

/// The upper bound of a usage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsageBound {
    /// Units that are used. The units of `gcra` follow from `until` alone.
    pub(crate) used: u64,
    /// When nothing of it is used any more, in microseconds since the Unix epoch.
    pub(crate) until: u64,
}

/// Time as bounds are rounded to it: in ticks, of which the last few differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ring {
    /// Microseconds of a tick.
    pub(crate) tick: u64,
    /// How many ticks differ. Usage ends within one less of them.
    pub(crate) ticks: u64,
    /// How many amounts differ.
    pub(crate) levels: u64,
}

impl Ring {
    /// Returns the ring of a quota.
    pub(crate) fn of(quota: &Quota) -> Self {
        of_algorithm!(quota, A => A::ring(quota))
    }
}

#[allow(private_bounds, reason = "nobody else has arithmetic")]
impl<S: Arithmetic> Usage<S> {
    /// Returns usage that is as much, and lasts as long, as a bound says.
    pub(crate) fn from_bound(quota: Quota, bound: UsageBound, now: Timestamp) -> Self {
        let state = of_algorithm!(quota, A => A::from_bound(&quota, bound, now));
        Self::at(quota, Some(state), now)
    }

    /// Returns the bound; `None` if nothing is used.
    pub(crate) fn bound(&self) -> Option<UsageBound> {
        if self.is_expired() {
            return None;
        }
        Some(by_algorithm!(&self.used, used => used.bound(&self.quota, self.now)))
    }
}

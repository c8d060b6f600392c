//! The rule of gcra, in whichever unit its arrival times are counted: `1 / limit`
//! microseconds in 128 bits ([`Debt`](super::Debt)), or the grain of a word in 64.

use std::ops::{Add, Sub};

use crate::algorithm::{Wait, integer_math::div_ceil};

/// How far an arrival time lies ahead of now.
pub(in crate::algorithm) trait Lead:
    Copy + Default + Ord + Add<Output = Self> + Sub<Output = Self>
{
    /// Returns the microseconds in which it is paid back, rounded up.
    fn micros(self, per_micro: u64) -> u64;
}

impl Lead for u64 {
    #[inline]
    fn micros(self, per_micro: u64) -> u64 {
        self.div_ceil(per_micro)
    }
}

impl Lead for u128 {
    #[inline]
    fn micros(self, per_micro: u64) -> u64 {
        div_ceil(self, per_micro)
    }
}

/// Returns a lead that was kept, or none if it is more than two full buckets: the clock
/// has stepped back then.
///
/// A lowered limit or burst may leave more than a full bucket, and what was used counts.
/// Clamping to one would not help: a refusal writes nothing, so the client would find the
/// clamp again until the clock has caught up.
#[inline]
pub(in crate::algorithm) fn believed<L: Lead>(lead: L, full: L) -> L {
    if lead > full + full { L::default() } else { lead }
}

/// Returns how long a request has to wait that would leave that lead.
#[inline]
pub(in crate::algorithm) fn wait<L: Lead>(after: L, capacity: L, per_micro: u64) -> Wait {
    if after <= capacity {
        return Wait::None;
    }
    Wait::Micros((after - capacity).micros(per_micro))
}

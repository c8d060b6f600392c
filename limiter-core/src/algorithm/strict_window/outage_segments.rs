//! The segments of a strict window by their age, for the usage of an outage: those of
//! another clock need not begin when these do.

use super::{Segments, until};
use crate::{
    algorithm::{Arithmetic, QuotaUsage},
    quota::Quota,
    time::Timestamp,
};

/// Units that were admitted elsewhere, and how long ago the last of them may have been.
pub(super) struct AgedSegment {
    /// Microseconds.
    pub(super) age: u64,
    /// Units used in the segment, capped at the limit.
    pub(super) units: u64,
}

impl AgedSegment {
    /// Returns the segments of a share that have units.
    pub(super) fn all(quota: &Quota, share: &QuotaUsage, their_now: Timestamp) -> Vec<Self> {
        let theirs = Segments::at(quota, share.state.clone(), their_now);
        let used = theirs.used.iter().enumerate().filter(|(_, units)| **units > 0);
        let aged = |(place, units): (usize, &u64)| {
            let last = until(quota, theirs.start, place) - quota.window_micros() - 1;
            let age = their_now.as_micros().saturating_sub(last);
            Self { age, units: (*units).min(quota.limit()) }
        };
        used.map(aged).collect()
    }
}

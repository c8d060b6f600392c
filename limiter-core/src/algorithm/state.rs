//! The stored state of a quota, and its encoding as whole numbers: the one that all
//! stores build on.

#[cfg(any(feature = "memory", feature = "_shared"))]
use smallvec::SmallVec;

use crate::quota::{Algorithm, Quota};

/// The stored state of one quota of one key. `None` in its place means that
/// nothing was used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// The state of [`Algorithm::Gcra`]: the theoretical arrival time, `tat` whole
    /// microseconds since the epoch and `fraction / limit` of one more.
    Gcra {
        /// Whole microseconds since the Unix epoch.
        tat: u64,
        /// In units of `1 / limit` microseconds, below `limit`.
        fraction: u64,
        /// The limit in force when this was written; a changed limit is
        /// recognised by it and keeps the units used.
        limit: u64,
        /// The bucket's size when this was written: the most that can be used.
        burst: u64,
    },
    /// The state of [`Algorithm::FixedWindow`].
    FixedWindow {
        /// When the window began, microseconds since the Unix epoch.
        start: u64,
        /// Units used in it.
        used: u64,
    },
    /// The state of [`Algorithm::SlidingWindow`].
    SlidingWindow {
        /// When the current window began, a multiple of the window.
        start: u64,
        /// Units used in the current window.
        current: u64,
        /// Units used in the window before.
        previous: u64,
    },
    /// The state of [`Algorithm::StrictWindow`].
    StrictWindow {
        /// When the newest segment with a charge began, a multiple of the segment's
        /// length.
        start: u64,
        /// Units used in it and in the segments before, the newest first.
        used: Box<[u64]>,
    },
}

/// The numbers of a state.
#[cfg(any(feature = "memory", feature = "_shared"))]
pub(crate) type Numbers = SmallVec<[u64; 4]>;

#[cfg(any(feature = "memory", feature = "_shared"))]
impl State {
    /// Returns the numbers of the state, at most [`max_numbers`] of them. Zeros may
    /// follow them: they mean the same.
    pub(crate) fn numbers(&self) -> Numbers {
        match self {
            Self::Gcra { tat, fraction, limit, burst } => {
                [*limit, *burst, *tat, *fraction].into_iter().collect()
            }
            Self::FixedWindow { start, used } => [*start, *used].into_iter().collect(),
            Self::SlidingWindow { start, current, previous } => {
                [*start, *current, *previous].into_iter().collect()
            }
            Self::StrictWindow { start, used } => {
                [*start].into_iter().chain(used.iter().copied()).collect()
            }
        }
    }

    /// Returns the state of those numbers; `None` if there are too few, or if all are
    /// zero: then nothing is used.
    pub(crate) fn of_numbers(algorithm: Algorithm, numbers: &[u64]) -> Option<Self> {
        let used = 1 + numbers.iter().rposition(|number| *number > 0)?;
        match (algorithm, numbers) {
            (Algorithm::Gcra, &[limit, burst, tat, fraction, ..]) => {
                Some(Self::Gcra { tat, fraction, limit, burst })
            }
            (Algorithm::FixedWindow, &[start, used, ..]) => Some(Self::FixedWindow { start, used }),
            (Algorithm::SlidingWindow, &[start, current, previous, ..]) => {
                Some(Self::SlidingWindow { start, current, previous })
            }
            (Algorithm::StrictWindow, [start, ..]) => {
                Some(Self::StrictWindow { start: *start, used: numbers[1..used].into() })
            }
            _ => None,
        }
    }
}

/// Returns the most numbers that a state of that quota has.
pub(crate) fn max_numbers(quota: &Quota) -> usize {
    match quota.algorithm() {
        Algorithm::Gcra => 4,
        Algorithm::FixedWindow => 2,
        Algorithm::SlidingWindow => 3,
        Algorithm::StrictWindow => 2 + usize::from(quota.segments()),
    }
}

//! Why a quota cannot be.

use std::{convert::Infallible, fmt};

use super::{MAX_QUOTAS, MAX_SEGMENTS, MAX_UNITS};
use crate::error::ConfigError;

/// Why a quota cannot be.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// A number of units that is zero or does not fit.
    #[error("the {name} is {units}; it must be 1 to {MAX_UNITS}")]
    Units {
        /// `limit` or `burst`.
        name: &'static str,
        /// The value that was given.
        units: u64,
    },
    /// A window of no length, or of more than ten years.
    #[error("a window must be longer than zero and at most 3660 days")]
    Window,
    /// A window that is not a whole number of microseconds.
    #[error("a window must be a whole number of microseconds")]
    SubMicrosecond,
    /// A bucket that takes too long to refill.
    #[error("a burst of that size would take over a hundred years to refill; lower it")]
    Drain,
    /// A burst where there is no bucket.
    #[error("{0} has no burst: only gcra does; leave the burst out or use gcra")]
    BurstWithWindow(&'static str),
    /// Segments where there are none.
    #[error("{0} has no segments: only strict_window does; leave them out or use strict_window")]
    NoSegments(&'static str),
    /// A number of segments that is out of range.
    #[error("the segments are {0}; they must be 1 to {MAX_SEGMENTS}")]
    Segments(u8),
    /// Windows that begin at a set time, where each key has its own.
    #[error(
        "{0} has no windows that begin at a set time: only fixed_window does; leave \"from\" out \
         or use fixed_window"
    )]
    NoStart(&'static str),
    /// Windows that cannot begin at the same time on every day.
    #[error("windows that begin at a set time must divide a day, as 1h or 1d, or be a week, 7d")]
    Start,
    /// Text that is not a quota.
    #[error(
        "{text:?} is not a quota: {reason}; write \"10/minute\", \"100/5m\", \"10/s burst 20\" or \
         \"1000/day from midnight UTC\""
    )]
    Notation {
        /// The value that was given.
        text: String,
        /// The reason why it is refused.
        reason: String,
    },
    /// No quota at all.
    #[error("a policy needs at least one quota, such as \"10/minute\"")]
    Empty,
    /// More quotas than a policy can have.
    #[error("a policy has at most {MAX_QUOTAS} quotas, and {0} are given; leave some out")]
    TooMany(usize),
    /// The same quota twice.
    #[error("the quota {0:?} is given twice; leave one out")]
    Twice(String),
}

/// The message, as in `Display`: it is what `main() -> Result<(), Box<dyn Error>>`
/// prints.
impl fmt::Debug for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<QuotaError> for ConfigError {
    fn from(error: QuotaError) -> Self {
        Self::at("quota", error)
    }
}

impl From<Infallible> for ConfigError {
    fn from(error: Infallible) -> Self {
        match error {}
    }
}

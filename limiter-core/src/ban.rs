//! Strikes and bans: [`BanRule`], and what becomes of an offender.
//!
//! A strike is a refused request, or a response whose status the rule names.
//! Strikes are counted with the arithmetic of
//! [`Algorithm::SlidingWindow`](crate::Algorithm::SlidingWindow), so that
//! failures spread over a window's edge still add up; reaching the threshold
//! bans the key and clears them.
//!
//! ```
//! use std::time::Duration;
//! use limiter_core::BanRule;
//!
//! // Ten strikes within ten minutes ban for ten minutes, then for twenty,
//! // forty and so on, up to a day; failed logins strike as well.
//! let minutes = |n: u64| Duration::from_secs(60 * n);
//! let rule = BanRule::after_strikes(10)
//!     .within(minutes(10))
//!     .for_duration(minutes(10))?
//!     .with_factor_thousandths(2_000)?
//!     .with_max_duration(minutes(24 * 60))?
//!     .with_statuses([401])?;
//! assert!(rule.strikes_on_refusal());
//! # Ok::<(), limiter_core::ConfigError>(())
//! ```

mod record;
mod rule;
mod rule_builder;

use std::time::Duration;

#[cfg(feature = "memory")]
pub(crate) use self::record::CLOCK_SKEW;
pub use self::{
    record::{Ban, BanRecord},
    rule::BanRule,
    rule_builder::{BanThreshold, BanThresholdWithin},
};
use crate::name::words;

/// The longest ban, and the longest memory of one: 3660 days.
pub(crate) const MAX_BAN: Duration = crate::quota::MAX_WINDOW;

/// With which status a banned client is answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum BanAnswer {
    /// 403 Forbidden.
    #[default]
    Forbidden,
    /// 429 Too Many Requests.
    TooManyRequests,
}

words!(BanAnswer: "403" => Self::Forbidden, "429" => Self::TooManyRequests);

/// A change to a ban that an operator makes by hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BanChange {
    /// Bans for that long from now, at most 3660 days. A ban in force that ends
    /// later stays.
    Ban(Duration),
    /// Ends a ban. The next one is longer for it, as the rule says.
    Lift,
    /// Ends a ban and forgets it, and all strikes.
    Forgive,
}

#[cfg(test)]
mod tests;

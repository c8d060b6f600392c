//! The first steps of a ban rule: how many strikes, within which time, ban for
//! how long. Steps with names, since two durations in a row can be swapped.

use std::time::Duration;

use super::{
    BanAnswer, BanRule,
    rule::{DAY, check_duration, text},
};
use crate::{
    error::ConfigError,
    quota::{Algorithm, MAX_UNITS, Quota},
    response_statuses::Statuses,
};

/// How many strikes ban. [`within`](Self::within) says in which time.
#[derive(Clone, Copy, Debug)]
#[must_use = "it is no rule before `within` and `for_duration`"]
pub struct BanThreshold {
    threshold: u64,
}

/// How many strikes within which time ban. [`for_duration`](Self::for_duration)
/// says for how long.
#[derive(Clone, Copy, Debug)]
#[must_use = "it is no rule before `for_duration`"]
pub struct BanThresholdWithin {
    threshold: u64,
    window: Duration,
}

impl BanThreshold {
    pub(super) const fn new(threshold: u64) -> Self {
        Self { threshold }
    }

    /// Sets the time within which the strikes count.
    pub const fn within(self, window: Duration) -> BanThresholdWithin {
        BanThresholdWithin { threshold: self.threshold, window }
    }
}

impl BanThresholdWithin {
    /// Returns the rule that bans for `duration`. Every next ban lasts as long,
    /// refusals strike, statuses do not, and a day after its last ban a key
    /// counts as new.
    ///
    /// # Errors
    /// If the threshold is zero, or a time is zero or over 3660 days.
    pub fn for_duration(self, duration: Duration) -> Result<BanRule, ConfigError> {
        let Self { threshold, window } = self;
        if !(1..=MAX_UNITS).contains(&threshold) {
            let message = format!("is {threshold}; write 1 strike or more, up to {MAX_UNITS}");
            return Err(ConfigError::at("threshold", message));
        }
        let strikes = Quota::new(threshold, window)
            .and_then(|quota| quota.with_algorithm(Algorithm::SlidingWindow))
            .map_err(|error| ConfigError::at("window", format!("is {}; {error}", text(window))))?;
        check_duration("duration", duration)?;
        Ok(BanRule {
            strikes,
            duration,
            factor: 1_000,
            max_duration: duration.max(DAY),
            forgive_after: DAY,
            statuses: Statuses::default(),
            reserve: false,
            refusals: true,
            group: None,
            answer: BanAnswer::default(),
        })
    }
}

//! Which requests a policy counts in the end, by the status of their response.

use super::Policy;
use crate::{
    error::ConfigError,
    response_statuses::{CountedStatuses, IntoStatusPattern, Statuses},
};

impl Policy {
    /// Gives back what requests were charged whose response has one of these statuses:
    /// numbers, or texts, which may be classes: `["5xx", "404"]`. Defaults to none.
    ///
    /// A check charges as ever, and the outcome gives back, so that never more requests
    /// than the limit are under way. A client that hangs up (499) gets nothing back,
    /// unless 499 itself is named.
    ///
    /// # Errors
    /// If none is given, one is no status, or there is
    /// [`with_count_only`](Self::with_count_only), too.
    pub fn with_refund<S: IntoStatusPattern>(
        self,
        statuses: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        let statuses = self.outcome_statuses("refund", statuses)?;
        Ok(self.with(|rule| rule.counted = CountedStatuses::AllBut(statuses)))
    }

    /// Counts only requests whose response has one of these statuses, such as 401, and
    /// those whose client hung up: all others are given back. Defaults to all.
    ///
    /// For failed logins: as with [`with_refund`](Self::with_refund) a check charges
    /// first, so that guesses that are sent at once are limited as those in a row.
    ///
    /// # Errors
    /// As of [`with_refund`](Self::with_refund), which does not go with it.
    pub fn with_count_only<S: IntoStatusPattern>(
        self,
        statuses: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        let statuses = self.outcome_statuses("count_only", statuses)?;
        Ok(self.with(|rule| rule.counted = CountedStatuses::Only(statuses)))
    }

    fn outcome_statuses<S: IntoStatusPattern>(
        &self,
        option: &str,
        statuses: impl IntoIterator<Item = S>,
    ) -> Result<Statuses, ConfigError> {
        let at = |error: ConfigError| error.within(self.name());
        let statuses = Statuses::read(option, statuses).map_err(at)?;
        if statuses.is_empty() {
            let message = "is empty; write statuses such as [401, 403], or leave it out";
            return Err(at(ConfigError::at(option, message)));
        }
        let other = match self.0.counted {
            CountedStatuses::All => return Ok(statuses),
            CountedStatuses::AllBut(_) => "refund",
            CountedStatuses::Only(_) => "count_only",
        };
        if other == option {
            return Ok(statuses);
        }
        let message = format!("does not go with {other}; leave one of both out");
        Err(at(ConfigError::at(option, message)))
    }

    /// Returns true if a request counts whose response has that status. The units of
    /// others are given back.
    #[must_use]
    pub fn counts(&self, status: u16) -> bool {
        self.0.counted.count(status)
    }

    /// Returns true if a request counts for good once that status is recorded, whatever is
    /// recorded later.
    pub(crate) fn counts_for_good(&self, status: u16) -> bool {
        self.0.counted.count_for_good(status)
    }

    /// Returns true if the status of a response may give units back, keep them for good, or
    /// strike.
    pub(crate) fn has_outcomes(&self) -> bool {
        let strikes = self.ban().is_some_and(|rule| !rule.statuses().is_empty());
        self.0.counted != CountedStatuses::All || strikes
    }

    /// Returns true if it counts the reserved strikes of another policy, one a request.
    pub(crate) fn is_reservation(&self) -> bool {
        self.0.is_reservation
    }

    /// The units that a request of that cost takes: of reserved strikes one at most.
    pub(crate) fn cost_of(&self, cost: u64) -> u64 {
        if self.is_reservation() { cost.min(1) } else { cost }
    }
}

//! The rule of a policy's bans: [`BanRule`].

use std::time::Duration;

use super::{Ban, BanAnswer, BanThreshold, MAX_BAN};
use crate::{
    error::ConfigError,
    name::check_name,
    quota::Quota,
    response_statuses::{IntoStatusPattern, Statuses},
    time::{Timestamp, micros},
};

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// When a key is banned, and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BanRule {
    pub(super) strikes: Quota,
    pub(super) duration: Duration,
    pub(super) factor: u32,
    pub(super) max_duration: Duration,
    pub(super) forgive_after: Duration,
    pub(super) statuses: Statuses,
    pub(super) reserve: bool,
    pub(super) refusals: bool,
    pub(super) group: Option<String>,
    pub(super) answer: BanAnswer,
}

impl BanRule {
    /// Begins the rule that so many strikes ban: within which time, and for how
    /// long, is said next.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use limiter_core::BanRule;
    /// let minute = Duration::from_secs(60);
    /// let rule = BanRule::after_strikes(10).within(5 * minute).for_duration(2 * minute)?;
    /// # Ok::<(), limiter_core::ConfigError>(())
    /// ```
    pub const fn after_strikes(threshold: u64) -> BanThreshold {
        BanThreshold::new(threshold)
    }

    /// Each next ban lasts the last one's time by this many thousandths,
    /// rounded down to a microsecond. Defaults to 1000: always as long.
    ///
    /// # Errors
    /// If it is below 1000, that is if bans became shorter.
    pub fn with_factor_thousandths(self, factor: u32) -> Result<Self, ConfigError> {
        if factor < 1_000 {
            let message =
                format!("is {factor} thousandths, below 1; write 1 or more, such as 2 or 1.5");
            return Err(ConfigError::at("factor", message));
        }
        Ok(Self { factor, ..self })
    }

    /// No ban by this rule lasts longer. Defaults to a day, or to the first
    /// ban's duration where that is longer.
    ///
    /// # Errors
    /// If it is shorter than the first ban, or over 3660 days.
    pub fn with_max_duration(self, max_duration: Duration) -> Result<Self, ConfigError> {
        check_duration("max_duration", max_duration)?;
        if max_duration < self.duration {
            let (shorter, first) = (text(max_duration), text(self.duration));
            let message = format!("is {shorter}, shorter than the duration of {first}; raise it");
            return Err(ConfigError::at("max_duration", message));
        }
        Ok(Self { max_duration, ..self })
    }

    /// How long after the end of its last ban a key counts as new. Defaults to
    /// a day.
    ///
    /// # Errors
    /// If it is over 3660 days.
    pub fn with_forgive_after(self, forgive_after: Duration) -> Result<Self, ConfigError> {
        if forgive_after > MAX_BAN {
            let message = format!("is {}; it must be at most 3660 days", text(forgive_after));
            return Err(ConfigError::at("forgive_after", message));
        }
        Ok(Self { forgive_after, ..self })
    }

    /// Response statuses that strike, such as 401 and 404, and classes such as `"4xx"`.
    /// Defaults to none.
    ///
    /// # Errors
    /// If one is no HTTP status (100 to 599) and no class of them.
    pub fn with_statuses<S: IntoStatusPattern>(
        self,
        statuses: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        Ok(Self { statuses: Statuses::read("statuses", statuses)?, ..self })
    }

    /// Sets if requests reserve a strike until they have a response. Defaults to false.
    ///
    /// A strike for a status comes after the response, so that 200 wrong passwords that
    /// are sent at once all reach the handler, whatever the threshold. With this no more
    /// requests reach it than there are strikes left: those that have one reserved and
    /// those that were a strike are the threshold at most, within the window. More are
    /// refused with 429 until others have a response. A ban is brought by strikes alone.
    ///
    /// Not for statuses that many requests of one page may have, such as the 404s of
    /// thirty missing images: they would be refused for being sent together.
    ///
    /// What is reserved is settled by the permit of
    /// [`PolicySet::admit`](crate::PolicySet::admit). It counts under a policy of its
    /// own, `<name>.reserved`, which is part of the [set](crate::PolicySet::policies),
    /// and goes on to count after a ban that is shorter than the window.
    #[must_use]
    pub fn with_reserve(self, reserve: bool) -> Self {
        Self { reserve, ..self }
    }

    /// Sets if a refused request strikes. Defaults to true.
    #[must_use]
    pub fn with_refusals(self, refusals: bool) -> Self {
        Self { refusals, ..self }
    }

    /// Shares strikes and bans with the other policies of that group.
    ///
    /// # Errors
    /// If it is not a name of lower-case letters, digits, `-` and `_`.
    pub fn with_group(self, group: &str) -> Result<Self, ConfigError> {
        check_name("group", group)?;
        Ok(Self { group: Some(group.to_owned()), ..self })
    }

    /// Sets the status of the response to a banned client. Defaults to 403.
    #[must_use]
    pub fn with_answer(self, answer: BanAnswer) -> Self {
        Self { answer, ..self }
    }

    /// Returns true if anything strikes at all.
    pub(crate) fn can_strike(&self) -> bool {
        self.refusals || !self.statuses.is_empty()
    }

    /// Strikes that ban.
    #[must_use]
    pub const fn threshold(&self) -> u64 {
        self.strikes.limit()
    }

    /// Returns true if a refused request strikes.
    #[must_use]
    pub const fn strikes_on_refusal(&self) -> bool {
        self.refusals
    }

    /// Returns true if a response of that status strikes.
    #[must_use]
    pub fn strikes_on(&self, status: u16) -> bool {
        self.statuses.name(status)
    }

    /// Returns true if requests reserve a strike.
    #[must_use]
    pub const fn reserves(&self) -> bool {
        self.reserve
    }

    pub(crate) const fn statuses(&self) -> &Statuses {
        &self.statuses
    }

    /// The group that shares strikes and bans, if any.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The status of the response to a banned client.
    #[must_use]
    pub const fn answer(&self) -> BanAnswer {
        self.answer
    }

    /// The quota as which strikes are counted.
    pub(crate) const fn strikes(&self) -> &Quota {
        &self.strikes
    }

    /// The same rule for the address beside `factor` keys of its clients: with
    /// strikes and bans of its own, and a threshold that is as many times larger.
    /// Otherwise three failures of one of its keys would ban all of them.
    pub(crate) fn of_companion(self, factor: u64) -> Self {
        Self { group: None, strikes: self.strikes.scaled(factor), ..self }
    }

    /// The numbers of the rule as a store's server needs them, times in microseconds:
    /// threshold, window, duration, factor, longest duration, forgiveness.
    #[cfg(feature = "_deciding")]
    pub(crate) fn numbers(&self) -> [u64; 6] {
        let Self { strikes, factor, .. } = self;
        let [duration, longest, forgive] =
            [self.duration, self.max_duration, self.forgive_after].map(micros);
        [strikes.limit(), strikes.window_micros(), duration, (*factor).into(), longest, forgive]
    }

    /// The longest ban.
    pub(crate) const fn longest(&self) -> Duration {
        self.max_duration
    }

    /// Returns true if both rules can share one group's strikes and bans.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let numbers = |rule: &Self| {
            (rule.strikes, rule.duration, rule.factor, rule.max_duration, rule.forgive_after)
        };
        numbers(self) == numbers(other)
            && self.reserve == other.reserve
            && (!self.reserve || self.statuses == other.statuses)
    }

    /// Returns the instant at which a store may forget that ban: the next one is longer
    /// until then.
    #[must_use]
    pub fn forget_at(&self, ban: &Ban) -> Timestamp {
        ban.until.after(self.forgive_after)
    }

    /// Returns the ban that follows on `last`.
    pub(super) fn next(&self, last: Option<Ban>, now: Timestamp) -> Ban {
        let first = micros(self.duration);
        let duration = match last.filter(|ban| now < self.forget_at(ban)) {
            None => first,
            Some(last) => {
                let longer = u128::from(last.duration) * u128::from(self.factor) / 1_000;
                u64::try_from(longer).unwrap_or(u64::MAX).max(first)
            }
        };
        let duration = duration.min(micros(self.max_duration));
        let count = self.count_with(last, 1, now);
        Ban { until: now.after_micros(duration), duration, count }
    }

    /// Returns the bans so far, of which `last` is the last one, with `more` of them.
    /// One that begins while another is in force makes that one longer, and is not counted.
    pub(super) fn count_with(&self, last: Option<Ban>, more: u32, now: Timestamp) -> u32 {
        match last.filter(|ban| now < self.forget_at(ban)) {
            None => more,
            Some(last) if last.holds(now) => last.count.max(more),
            Some(last) => last.count.saturating_add(more),
        }
    }
}

pub(super) fn check_duration(name: &str, duration: Duration) -> Result<(), ConfigError> {
    if duration < Duration::from_micros(1) || duration > MAX_BAN {
        let message = format!("is {}; it must be over zero and at most 3660 days", text(duration));
        return Err(ConfigError::at(name, message));
    }
    Ok(())
}

pub(super) fn text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

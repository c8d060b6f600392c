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
//! let rule = BanRule::new(10, minutes(10), minutes(10))?
//!     .with_factor_thousandths(2_000)?
//!     .with_max_duration(minutes(24 * 60))?
//!     .with_statuses([401])?;
//! assert!(rule.strikes_on_refusal());
//! # Ok::<(), limiter_core::ConfigError>(())
//! ```

use std::time::Duration;

use crate::{
    algorithm::{Level, State},
    error::ConfigError,
    quota::{Algorithm, Quota},
    store::BanChange,
    time::{Timestamp, micros},
};

const DAY: Duration = Duration::from_secs(86_400);

/// The longest ban, and the longest memory of one: 3660 days.
const MAX_BAN: Duration = crate::quota::MAX_WINDOW;

/// When a key is banned, and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BanRule {
    strikes: Quota,
    duration: Duration,
    factor: u32,
    max_duration: Duration,
    forgive_after: Duration,
    statuses: Vec<u16>,
    refusals: bool,
    group: Option<String>,
    answer: BanAnswer,
}

/// With which status a banned client is answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BanAnswer {
    /// 403 Forbidden.
    #[default]
    Forbidden,
    /// 429 Too Many Requests.
    TooManyRequests,
}

impl BanRule {
    /// Bans a key for `duration` once it has `threshold` strikes within
    /// `window`. Every next ban lasts as long, refusals strike, statuses do
    /// not, and a day after its last ban a key counts as new.
    ///
    /// # Errors
    /// If the threshold is zero, or a time is zero or over 3660 days.
    pub fn new(threshold: u64, window: Duration, duration: Duration) -> Result<Self, ConfigError> {
        if threshold == 0 {
            return Err(ConfigError::at("threshold", "is 0; a ban needs 1 strike or more"));
        }
        let strikes = Quota::new(threshold, window)
            .and_then(|quota| quota.with_algorithm(Algorithm::SlidingWindow))
            .map_err(|error| ConfigError::at("window", format!("is {}; {error}", text(window))))?;
        check_duration("duration", duration)?;
        Ok(Self {
            strikes,
            duration,
            factor: 1_000,
            max_duration: duration.max(DAY),
            forgive_after: DAY,
            statuses: Vec::new(),
            refusals: true,
            group: None,
            answer: BanAnswer::default(),
        })
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

    /// Response statuses that strike, such as 401 and 404. Defaults to none.
    ///
    /// # Errors
    /// If one is no HTTP status (100 to 599).
    pub fn with_statuses(
        self,
        statuses: impl IntoIterator<Item = u16>,
    ) -> Result<Self, ConfigError> {
        let statuses: Vec<_> = statuses.into_iter().collect();
        match statuses.iter().find(|status| !(100..=599).contains(*status)) {
            Some(status) => Err(ConfigError::at(
                "statuses",
                format!("holds {status}, which is no HTTP status; write 100 to 599"),
            )),
            None => Ok(Self { statuses, ..self }),
        }
    }

    /// Whether a refused request strikes. Defaults to true.
    #[must_use]
    pub fn with_refusals(self, refusals: bool) -> Self {
        Self { refusals, ..self }
    }

    /// Shares strikes and bans with the other policies of that group.
    ///
    /// # Errors
    /// If it is not a name of lower-case letters, digits, `-` and `_`.
    pub fn with_group(self, group: &str) -> Result<Self, ConfigError> {
        crate::policy::check_name("group", group)?;
        Ok(Self { group: Some(group.to_owned()), ..self })
    }

    /// How a banned client is answered. Defaults to 403.
    #[must_use]
    pub fn with_answer(self, answer: BanAnswer) -> Self {
        Self { answer, ..self }
    }

    /// Strikes that ban.
    #[must_use]
    pub const fn threshold(&self) -> u64 {
        self.strikes.limit()
    }

    /// Whether a refused request strikes.
    #[must_use]
    pub const fn strikes_on_refusal(&self) -> bool {
        self.refusals
    }

    /// Whether a response of that status strikes.
    #[must_use]
    pub fn strikes_on(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    /// The group that shares strikes and bans, if any.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// How a banned client is answered.
    #[must_use]
    pub const fn answer(&self) -> BanAnswer {
        self.answer
    }

    /// The quota as which strikes are counted.
    pub(crate) const fn strikes(&self) -> &Quota {
        &self.strikes
    }

    /// The same rule, with strikes and bans of its own.
    pub(crate) fn without_group(self) -> Self {
        Self { group: None, ..self }
    }

    /// Whether both rules can share one group's strikes and bans.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let numbers = |rule: &Self| {
            (rule.strikes, rule.duration, rule.factor, rule.max_duration, rule.forgive_after)
        };
        numbers(self) == numbers(other)
    }

    /// When the last trace of that ban may be forgotten.
    pub(crate) fn forget_at(&self, ban: &Ban) -> Timestamp {
        ban.until.after(self.forgive_after)
    }

    /// The ban that follows on `last`.
    fn next(&self, last: Option<Ban>, now: Timestamp) -> Ban {
        let first = micros(self.duration);
        let duration = match last.filter(|ban| now < self.forget_at(ban)) {
            None => first,
            Some(last) => {
                let longer = u128::from(last.duration) * u128::from(self.factor) / 1_000;
                u64::try_from(longer).unwrap_or(u64::MAX).max(first)
            }
        };
        let duration = duration.min(micros(self.max_duration));
        Ban { until: now.after_micros(duration), duration }
    }
}

fn check_duration(name: &str, duration: Duration) -> Result<(), ConfigError> {
    if duration < Duration::from_micros(1) || duration > MAX_BAN {
        let message = format!("is {}; it must be over zero and at most 3660 days", text(duration));
        return Err(ConfigError::at(name, message));
    }
    Ok(())
}

fn text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A ban, in force or past: a past one is remembered, so that the next can be
/// longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ban {
    /// When it ends.
    pub until: Timestamp,
    /// How long it was when it began, in microseconds.
    pub duration: u64,
}

impl Ban {
    /// Whether the ban holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// Strikes and the last ban of one key under one rule, at one instant.
#[derive(Clone, Copy, Debug)]
pub struct Offender {
    pub(crate) strikes: Level,
    pub(crate) ban: Option<Ban>,
}

impl Offender {
    /// The strikes' state to keep; `None` if there are none.
    #[must_use]
    pub fn strikes(&self) -> Option<State> {
        self.strikes.state()
    }

    /// The ban to keep, in force or past.
    #[must_use]
    pub const fn ban(&self) -> Option<Ban> {
        self.ban
    }

    pub(crate) fn at(
        rule: &BanRule,
        strikes: Option<State>,
        ban: Option<Ban>,
        now: Timestamp,
    ) -> Self {
        Self { strikes: Level::at(rule.strikes, strikes, now), ban }
    }

    /// The end of the ban that holds at `now`, if one does.
    pub(crate) fn banned_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.ban.filter(|ban| ban.holds(now)).map(|ban| ban.until)
    }

    /// What a change by hand makes of it.
    pub(crate) fn change(self, rule: &BanRule, change: BanChange, now: Timestamp) -> Self {
        match change {
            BanChange::Ban(duration) => {
                let asked = Ban { until: now.after(duration), duration: micros(duration) };
                let longer = self.ban.filter(|ban| ban.until >= asked.until);
                Self::at(rule, None, longer.or(Some(asked)), now)
            }
            BanChange::Lift => {
                let ended = |ban: Ban| Ban { until: ban.until.min(now), ..ban };
                Self { ban: self.ban.map(ended), ..self }
            }
            BanChange::Forgive => Self::at(rule, None, None, now),
        }
    }

    /// One strike more, and the ban it may bring. A banned key takes none.
    pub(crate) fn strike(self, rule: &BanRule, now: Timestamp) -> Self {
        if self.banned_until(now).is_some() {
            return self;
        }
        let strikes = self.strikes.charge(1);
        if strikes.remaining() > 0 {
            return Self { strikes, ..self };
        }
        Self { strikes: Level::at(rule.strikes, None, now), ban: Some(rule.next(self.ban, now)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn rule() -> BanRule {
        BanRule::new(3, MINUTE, MINUTE).unwrap()
    }

    fn struck(rule: &BanRule, offender: Offender, times: u32, now: Timestamp) -> Offender {
        (0..times).fold(offender, |offender, _| offender.strike(rule, now))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_threshold_bans_and_clears_the_strikes() {
        let rule = rule();
        let now = at(600);
        let two = struck(&rule, Offender::at(&rule, None, None, now), 2, now);
        assert_eq!(two.banned_until(now), None);
        let three = two.strike(&rule, now);
        assert_eq!(three.banned_until(now), Some(at(660)));
        assert_eq!(three.strikes.state(), None);
        assert_eq!(three.banned_until(at(660)), None);
        // While banned neither strikes nor the ban move.
        let more = three.strike(&rule, now);
        assert_eq!((more.ban, more.strikes), (three.ban, three.strikes));
    }

    #[test]
    fn strikes_over_a_window_edge_add_up() {
        let rule = rule();
        // Two strikes at the end of one aligned minute, one right after it.
        let early = struck(&rule, Offender::at(&rule, None, None, at(119)), 2, at(119));
        let late = Offender::at(&rule, early.strikes.state(), None, at(121));
        assert!(late.strike(&rule, at(121)).banned_until(at(121)).is_some());
        // A window later they are forgotten.
        let forgotten = Offender::at(&rule, early.strikes.state(), None, at(240));
        assert!(struck(&rule, forgotten, 2, at(240)).ban.is_none());
    }

    #[test]
    fn bans_escalate_to_the_maximum_and_are_forgiven() {
        let rule = rule()
            .with_factor_thousandths(2_500)
            .and_then(|rule| rule.with_max_duration(MINUTE * 10))
            .and_then(|rule| rule.with_forgive_after(MINUTE))
            .unwrap();
        let mut now = at(600);
        let mut ban = None;
        for seconds in [60, 150, 375, 600, 600] {
            let offender = struck(&rule, Offender::at(&rule, None, ban, now), 3, now);
            ban = offender.ban;
            assert_eq!(offender.banned_until(now), Some(now.after(Duration::from_secs(seconds))));
            now = ban.unwrap().until;
        }
        // One microsecond short of the forgiveness it still counts.
        let remembered = now.after(MINUTE - Duration::from_micros(1));
        assert_eq!(rule.next(ban, remembered).duration, 600_000_000);
        assert_eq!(rule.next(ban, now.after(MINUTE)).duration, 60_000_000);
    }

    #[test]
    fn a_short_ban_by_hand_does_not_shorten_the_next() {
        let rule = rule();
        let new = Offender::at(&rule, None, None, at(600));
        let by_hand = new.change(&rule, BanChange::Ban(Duration::from_secs(1)), at(600));
        assert_eq!(by_hand.banned_until(at(600)), Some(at(601)));
        assert_eq!(rule.next(by_hand.ban, at(602)).duration, 60_000_000);
        // A ban by hand does not shorten the one in force either.
        let banned = struck(&rule, new, 3, at(600));
        let asked = BanChange::Ban(Duration::from_secs(1));
        assert_eq!(banned.change(&rule, asked, at(600)).banned_until(at(600)), Some(at(660)));
    }

    #[test]
    fn wrong_rules_are_refused() {
        let refused = [
            BanRule::new(0, MINUTE, MINUTE),
            BanRule::new(1, Duration::ZERO, MINUTE),
            BanRule::new(1, MINUTE, Duration::ZERO),
            rule().with_factor_thousandths(999),
            rule().with_max_duration(MINUTE / 2),
            rule().with_statuses([401, 99]),
            rule().with_group("Not A Name"),
            rule().with_forgive_after(MAX_BAN + MINUTE),
        ];
        for result in refused {
            assert!(result.is_err(), "{result:?}");
        }
    }
}

//! The ban record: strikes and ban of one key, and how a strike changes them.

use super::{BanChange, BanRule, MAX_BAN};
use crate::{
    algorithm::{State, Summary, Usage},
    time::{Timestamp, micros},
};

/// A ban, in force or past: a past one is remembered, so that the next can be
/// longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Ban {
    /// When it ends.
    pub until: Timestamp,
    /// How long it was when it began, in microseconds.
    #[serde(rename = "duration_micros")]
    pub duration: u64,
    /// The bans of the key so far, this one included, since it was last forgotten.
    pub count: u32,
}

/// How much further than its own duration the end of a ban may lie ahead, in
/// microseconds: the clocks of servers that share state differ by that much.
pub(crate) const CLOCK_SKEW: u64 = 1_000_000;

impl Ban {
    /// Returns true if the ban holds at `now`: it has not ended, and can have begun by then.
    ///
    /// A ban whose end lies further ahead than its duration began in the future: the
    /// clock has stepped back, or something else has written it. It counts as none,
    /// since nobody is to wait until that clock comes round again; and to write a
    /// corrected one, each refusal would have to write.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until && self.can_have_begun(now)
    }

    fn can_have_begun(&self, now: Timestamp) -> bool {
        self.duration <= micros(MAX_BAN)
            && self.until.micros_since(now) <= self.duration + CLOCK_SKEW
    }
}

/// Strikes and the last ban of one key under one rule, at one instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BanRecord {
    pub(crate) strikes: Usage<Summary>,
    pub(crate) ban: Option<Ban>,
}

impl BanRecord {
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

    /// The record at `now` of strikes and a ban as they are stored.
    #[must_use]
    pub fn at(rule: &BanRule, strikes: Option<State>, ban: Option<Ban>, now: Timestamp) -> Self {
        let ban = ban.filter(|ban| ban.can_have_begun(now));
        Self { strikes: Usage::at(rule.strikes, strikes, now), ban }
    }

    /// Returns how many strikes count now.
    #[must_use]
    pub fn strike_count(&self) -> u64 {
        self.strikes.quota().limit() - self.strikes.remaining()
    }

    /// The end of the ban that holds at `now`, if one does.
    #[must_use]
    pub fn banned_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.ban.filter(|ban| ban.holds(now)).map(|ban| ban.until)
    }

    /// The end of the ban that it has and that `before` had not.
    #[must_use]
    pub fn new_ban(&self, before: &Self, now: Timestamp) -> Option<Timestamp> {
        self.banned_until(now).filter(|_| self.ban != before.ban)
    }

    /// Returns the record after a manual change.
    #[must_use]
    pub fn change(self, rule: &BanRule, change: BanChange, now: Timestamp) -> Self {
        match change {
            BanChange::Ban(duration) => {
                let duration = duration.min(MAX_BAN);
                let (until, duration) = (now.after(duration), micros(duration));
                let asked = Ban { until, duration, count: rule.count_with(self.ban, 1, now) };
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

    /// With a ban that was brought elsewhere, as it is at `now`: the later end holds,
    /// and the longer one is what the next is longer than.
    pub(crate) fn with_outage_ban(self, rule: &BanRule, outage_ban: Ban, now: Timestamp) -> Self {
        let Ban { until, duration, count } = outage_ban;
        let count = rule.count_with(self.ban, count, now);
        let known = self.ban.filter(|ban| now < rule.forget_at(ban));
        let brought = match known {
            Some(known) if known.until >= until => known,
            Some(known) => Ban { until, duration: duration.max(known.duration), count },
            None => Ban { until, duration, count },
        };
        Self::at(rule, None, Some(brought), now)
    }

    /// One strike more, and the ban it may bring. A banned key takes none.
    #[must_use]
    pub fn strike(self, rule: &BanRule, now: Timestamp) -> Self {
        if self.banned_until(now).is_some() {
            return self;
        }
        let strikes = self.strikes.charge(1);
        if strikes.remaining() > 0 {
            return Self { strikes, ..self };
        }
        Self { strikes: Usage::at(rule.strikes, None, now), ban: Some(rule.next(self.ban, now)) }
    }
}

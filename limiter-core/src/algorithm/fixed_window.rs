//! `limit` units in a window that starts at the key's first request and is
//! gone when it ends; the next request starts another.

mod inherited;

pub use self::inherited::Inherited;
use self::inherited::Steps;
use super::{State, Wait};
use crate::{quota::Quota, time::Timestamp};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    /// Microseconds until it ends.
    left: u64,
    used: u64,
    /// Taken over from others, by a store that was full.
    inherited: Steps,
}

impl Window {
    pub(super) fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        let length = quota.window_micros();
        let fresh = Self { left: length, used: 0, inherited: Steps::default() };
        let Some(State::FixedWindow { start, used }) = state else {
            return fresh;
        };
        let left = start.saturating_add(length).saturating_sub(now.as_micros());
        // A start over a window ahead of now comes of a clock that stepped
        // back: a client does not wait for that clock to come round again.
        if left == 0 || left > length.saturating_mul(2) {
            return fresh;
        }
        Self { left, used, ..fresh }
    }

    pub(super) fn state(self, quota: &Quota, now: Timestamp) -> Option<State> {
        let end = now.as_micros().saturating_add(self.left);
        (self.used > 0).then_some(State::FixedWindow {
            start: end.saturating_sub(quota.window_micros()),
            used: self.used,
        })
    }

    /// With what was taken over from others, as it was kept.
    pub(super) fn inheriting(self, quota: &Quota, kept: Option<Inherited>, now: Timestamp) -> Self {
        Self { inherited: Steps::at(quota, kept, now), ..self }
    }

    pub(super) fn inherited(self, quota: &Quota, now: Timestamp) -> Option<Inherited> {
        self.inherited.kept(quota, now)
    }

    /// What the key leaves to others when it is displaced: no window of its own
    /// any more, but the units in it until it would have ended.
    pub(super) fn left_behind(self, quota: &Quota, now: Timestamp) -> Self {
        let own = Steps::of_window(quota, now, self.left, self.used);
        Self { left: quota.window_micros(), used: 0, inherited: self.inherited.plus(own) }
    }

    /// Until enough units are gone: the own ones with the window, others step by
    /// step.
    pub(super) fn wait(self, quota: &Quota, now: Timestamp, cost: u64) -> Wait {
        let room = quota.limit().saturating_sub(cost);
        if cost <= self.remaining(quota, now) {
            return Wait::None;
        }
        let own = |at: u64| if at < self.left { self.used } else { 0 };
        let others = |at: u64| {
            let over = self.inherited.ends(quota, now).take_while(|(end, _)| *end <= at);
            over.last().map_or(self.inherited.now(), |(_, units)| units)
        };
        let ends = self.inherited.ends(quota, now).map(|(end, _)| end).chain([self.left]);
        let fits = |at: &u64| own(*at).saturating_add(others(*at)) <= room;
        Wait::Micros(ends.filter(fits).min().unwrap_or(self.left))
    }

    pub(super) fn charge(self, cost: u64) -> Self {
        let used = self.used.saturating_add(cost);
        Self { used, ..self }
    }

    pub(super) fn merge(self, other: Self) -> Self {
        Self {
            left: self.left.max(other.left),
            used: self.used.max(other.used),
            inherited: self.inherited.max(other.inherited),
        }
    }

    /// With what was used elsewhere: in the window that runs, else in theirs.
    pub(super) fn owing(self, quota: &Quota, owed: Self) -> Self {
        match (self.used, owed.used) {
            (_, 0) => self,
            (0, more) => Self { used: more.min(quota.limit()), left: owed.left, ..self },
            (used, more) => {
                Self { used: used.max(used.saturating_add(more).min(quota.limit())), ..self }
            }
        }
    }

    /// Microseconds left, and units used, as many as matter.
    #[cfg(feature = "redis")]
    pub(super) fn own(self, quota: &Quota) -> [u64; 2] {
        [self.left, self.used.min(quota.limit())]
    }

    /// Microseconds until there may be more.
    pub(super) fn next_end(self, quota: &Quota, now: Timestamp) -> u64 {
        let steps = self.inherited.ends(quota, now).filter(|_| self.inherited.now() > 0);
        steps.map(|(end, _)| end).next().map_or(self.left, |end| end.min(self.left))
    }

    pub(super) const fn remaining(self, quota: &Quota, _: Timestamp) -> u64 {
        quota.limit().saturating_sub(self.used).saturating_sub(self.inherited.now())
    }

    pub(super) fn reset_after(self, quota: &Quota, now: Timestamp) -> u64 {
        let own = if self.used == 0 { 0 } else { self.left };
        if self.inherited.now() == 0 {
            return own;
        }
        let ends = self.inherited.ends(quota, now);
        // The last step is over when nothing is in force any more.
        ends.skip_while(|(_, units)| *units > 0)
            .map(|(end, _)| end)
            .next()
            .map_or(own, |end| end.max(own))
    }
}

//! `limit` units in a window that starts at the key's first request and is
//! gone when it ends; the next request starts another.

use super::{Mark, State, Wait, beyond};
use crate::{quota::Quota, time::Timestamp};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    /// Microseconds until it ends.
    left: u64,
    used: u64,
}

impl Window {
    pub(super) fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        let length = quota.window_micros();
        let fresh = Self { left: length, used: 0 };
        let Some(State::FixedWindow { start, used }) = state else {
            return fresh;
        };
        let left = start.saturating_add(length).saturating_sub(now.as_micros());
        // A start over a window ahead of now comes of a clock that stepped
        // back: a client does not wait for that clock to come round again.
        if left == 0 || left > length.saturating_mul(2) {
            return fresh;
        }
        Self { left, used }
    }

    pub(super) fn state(self, quota: &Quota, now: Timestamp) -> Option<State> {
        let start = self.start(quota, now);
        (self.used > 0).then_some(State::FixedWindow { start, used: self.used })
    }

    pub(super) fn wait(self, quota: &Quota, now: Timestamp, cost: u64) -> Wait {
        if cost <= self.remaining(quota, now) { Wait::None } else { Wait::Micros(self.left) }
    }

    pub(super) fn charge(self, cost: u64) -> Self {
        let used = self.used.saturating_add(cost);
        Self { used, ..self }
    }

    /// The window after `units` more, which may go beyond the limit.
    pub(super) fn charge_beyond(self, units: u64) -> Self {
        Self { used: beyond(self.used, units), ..self }
    }

    /// Where units that were charged last are.
    pub(super) fn mark(self, quota: &Quota, now: Timestamp) -> Mark {
        Mark { at: self.start(quota, now), fraction: 0 }
    }

    /// Without `units` that were charged in the window of that mark. Once another has
    /// begun, they are gone.
    pub(super) fn give_back(self, quota: &Quota, now: Timestamp, units: u64, mark: Mark) -> Self {
        if self.start(quota, now) != mark.at {
            return self;
        }
        Self { used: self.used.saturating_sub(units), ..self }
    }

    const fn start(self, quota: &Quota, now: Timestamp) -> u64 {
        let end = now.as_micros().saturating_add(self.left);
        end.saturating_sub(quota.window_micros())
    }

    /// With what was used elsewhere: in the window that runs, else in theirs.
    pub(super) fn with_outage_usage(self, quota: &Quota, outage_usage: Self) -> Self {
        match (self.used, outage_usage.used) {
            (_, 0) => self,
            (0, more) => Self { used: more.min(quota.limit()), left: outage_usage.left },
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

    /// Microseconds until there is more.
    pub(super) const fn next_end(self) -> u64 {
        self.left
    }

    pub(super) const fn remaining(self, quota: &Quota, _: Timestamp) -> u64 {
        quota.limit().saturating_sub(self.used)
    }

    pub(super) const fn reset_after(self, _: &Quota, _: Timestamp) -> u64 {
        if self.used == 0 { 0 } else { self.left }
    }
}

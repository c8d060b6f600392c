//! Two counters on windows aligned to the epoch: what the previous window used
//! fades out in proportion to how far the current one has run.
//!
//! The faded part is rounded *up*. Rounded down, a limit of 1 would pass twice
//! within two milliseconds: the one unit of the window before weighs
//! nothing a microsecond into the next. (The scheme is Cloudflare's, "How we
//! built rate limiting capable of scaling to millions of domains", 2017; there
//! it is a float.)

use super::{Mark, State, Wait, beyond, div_ceil, div_rem};
use crate::{quota::Quota, time::Timestamp};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Windows {
    /// When the current window began. It may lie ahead of now, if the clock has
    /// stepped back: until the clock catches up, the window stands at its start.
    start: u64,
    current: u64,
    previous: u64,
}

impl Windows {
    pub(super) fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        let length = quota.window_micros();
        let now = now.as_micros();
        let start = now - now % length;
        let (stored, current, previous) = match state {
            Some(State::SlidingWindow { start, current, previous }) => (start, current, previous),
            _ => (start, 0, 0),
        };
        let fresh = Self { start, current: 0, previous: 0 };
        match stored.checked_sub(start) {
            Some(0) => Self { current, previous, ..fresh },
            // One window ahead at most is a step of the clock; more is no
            // window of this key.
            Some(lead) if lead <= length => Self { start: stored, current, previous },
            Some(_) => fresh,
            None if start - stored == length => Self { previous: current, ..fresh },
            None => fresh,
        }
    }

    pub(super) fn state(self, _: &Quota, _: Timestamp) -> Option<State> {
        (self.current > 0 || self.previous > 0).then_some(State::SlidingWindow {
            start: self.start,
            current: self.current,
            previous: self.previous,
        })
    }

    /// Microseconds until the current window ends: more than its length where it
    /// lies ahead of now.
    const fn left(self, quota: &Quota, now: Timestamp) -> u64 {
        self.start.saturating_add(quota.window_micros()).saturating_sub(now.as_micros())
    }

    /// Units of the previous window that still weigh, rounded up.
    fn faded(self, quota: &Quota, now: Timestamp) -> u64 {
        let length = quota.window_micros();
        let left = self.left(quota, now).min(length);
        div_ceil(u128::from(self.previous) * u128::from(left), length)
    }

    pub(super) fn wait(self, quota: &Quota, now: Timestamp, cost: u64) -> Wait {
        if cost <= self.remaining(quota, now) {
            return Wait::None;
        }
        let in_window = self.left(quota, now);
        let taken = self.current.saturating_add(cost);
        Wait::Micros(match quota.limit().checked_sub(taken) {
            // The previous window still has to fade to `room`.
            Some(room) => in_window - fade_time(quota, self.previous, room),
            // Even without it there is no room: it is the current window that
            // has to fade, as the previous one of the next.
            None => {
                let room = quota.limit() - cost;
                in_window + (quota.window_micros() - fade_time(quota, self.current, room))
            }
        })
    }

    pub(super) fn charge(self, cost: u64) -> Self {
        let current = self.current.saturating_add(cost);
        Self { current, ..self }
    }

    /// The windows after `units` more, which may go beyond the limit.
    pub(super) fn charge_beyond(self, units: u64) -> Self {
        Self { current: beyond(self.current, units), ..self }
    }

    /// Where units that were charged last are.
    pub(super) const fn mark(self) -> Mark {
        Mark { at: self.start, fraction: 0 }
    }

    /// Without `units` that were charged in the window of that mark, which may be the
    /// previous one by now. Later they are gone.
    pub(super) fn give_back(self, quota: &Quota, units: u64, mark: Mark) -> Self {
        let Self { start, current, previous } = self;
        if start == mark.at {
            Self { current: current.saturating_sub(units), ..self }
        } else if start.checked_sub(quota.window_micros()) == Some(mark.at) {
            Self { previous: previous.saturating_sub(units), ..self }
        } else {
            self
        }
    }

    /// With what was used elsewhere, window by window.
    pub(super) fn with_outage_usage(self, quota: &Quota, outage_usage: Self) -> Self {
        let sum = |own: u64, outage_usage: u64| {
            own.max(own.saturating_add(outage_usage).min(quota.limit()))
        };
        Self {
            current: sum(self.current, outage_usage.current),
            previous: sum(self.previous, outage_usage.previous),
            ..self
        }
    }

    /// Units of the current window and the one before, as many as matter.
    #[cfg(feature = "redis")]
    pub(super) fn used(self, quota: &Quota) -> [u64; 2] {
        [self.current, self.previous].map(|units| units.min(quota.limit()))
    }

    pub(super) fn remaining(self, quota: &Quota, now: Timestamp) -> u64 {
        let used = self.current.saturating_add(self.faded(quota, now));
        quota.limit().saturating_sub(used)
    }

    pub(super) fn reset_after(self, quota: &Quota, now: Timestamp) -> u64 {
        let left = self.left(quota, now);
        match (self.current, self.previous) {
            (0, 0) => 0,
            (0, _) => left,
            _ => left + quota.window_micros(),
        }
    }
}

/// How many microseconds before its window's end `units` have faded to `room`,
/// which is below `units`.
fn fade_time(quota: &Quota, units: u64, room: u64) -> u64 {
    let product = u128::from(room) * u128::from(quota.window_micros());
    div_rem(product, units.max(1)).0
}

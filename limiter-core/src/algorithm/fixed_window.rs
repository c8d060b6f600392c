//! `limit` units in a window that starts at the key's first request and is
//! gone when it ends; the next request starts another. Windows that begin at a set time
//! are the same, but for their start.

use super::{Arithmetic, Counting, Mark, QuotaUsage, State, Wait, charge_beyond};
#[cfg(feature = "memory")]
use super::{Ring, UsageBound, WordEncoding};
use crate::{quota::Quota, time::Timestamp};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    /// Microseconds until it ends.
    left: u64,
    used: u64,
}

impl Window {
    /// Microseconds until there is more.
    pub(super) const fn next_end(&self) -> u64 {
        self.left
    }

    /// The window that began at `start`, or another if it is over at `now`.
    #[inline]
    fn since(quota: &Quota, start: u64, used: u64, now: Timestamp) -> Self {
        let length = quota.window_micros();
        let left = start.saturating_add(length).saturating_sub(now.as_micros());
        // A start over a window ahead of now comes of a clock that stepped
        // back: a client does not wait for that clock to come round again.
        if left == 0 || left > length.saturating_mul(2) {
            return Self::unused(quota, now);
        }
        Self { left, used }
    }

    /// The window that a request at `now` begins, or finds begun where it begins at a set
    /// time.
    #[inline]
    fn unused(quota: &Quota, now: Timestamp) -> Self {
        let length = quota.window_micros();
        let begun = quota.start_micros().map_or(0, |start| {
            // The start is less than a window.
            (now.as_micros() + (length - start)) % length
        });
        Self { left: length - begun, used: 0 }
    }

    const fn start(self, quota: &Quota, now: Timestamp) -> u64 {
        let end = now.as_micros().saturating_add(self.left);
        end.saturating_sub(quota.window_micros())
    }
}

/// Returns the earliest start that a word has, in microseconds: that of the window that
/// ends at the origin.
#[cfg(feature = "memory")]
fn first_start(encoding: &WordEncoding, origin: Timestamp) -> u64 {
    origin.as_micros().saturating_sub(encoding.quota().window_micros())
}

impl Arithmetic for Window {
    fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        match state {
            Some(State::FixedWindow { start, used }) => Self::since(quota, start, used, now),
            _ => Self::unused(quota, now),
        }
    }

    fn state(&self, quota: &Quota, now: Timestamp) -> Option<State> {
        let start = self.start(quota, now);
        (self.used > 0).then_some(State::FixedWindow { start, used: self.used })
    }

    #[inline]
    fn wait(&self, quota: &Quota, now: Timestamp, cost: u64) -> Wait {
        if cost <= self.remaining(quota, now) { Wait::None } else { Wait::Micros(self.left) }
    }

    #[inline]
    fn charge(&mut self, _: &Quota, _: Timestamp, cost: u64) {
        self.used = self.used.saturating_add(cost);
    }

    #[inline]
    fn remaining(&self, quota: &Quota, _: Timestamp) -> u64 {
        quota.limit().saturating_sub(self.used)
    }

    fn reset_after(&self, _: &Quota, _: Timestamp) -> u64 {
        if self.used == 0 { 0 } else { self.left }
    }

    fn mark(&self, quota: &Quota, now: Timestamp) -> Mark {
        Mark::at(self.start(quota, now))
    }

    #[cfg(feature = "memory")]
    #[inline]
    fn word(&self, encoding: &WordEncoding, now: Timestamp, origin: Timestamp) -> Option<u64> {
        if self.used == 0 {
            return None;
        }
        let start = self.start(encoding.quota(), now);
        encoding.join(start.checked_sub(first_start(encoding, origin))?, &[self.used])
    }

    #[cfg(feature = "memory")]
    #[inline]
    fn of_word(encoding: &WordEncoding, word: u64, now: Timestamp, origin: Timestamp) -> Self {
        let start = encoding.before(word, 1).saturating_add(first_start(encoding, origin));
        Self::since(encoding.quota(), start, encoding.units(word, 0), now)
    }

    #[cfg(feature = "memory")]
    fn bound(&self, _: &Quota, now: Timestamp) -> UsageBound {
        UsageBound { used: self.used, until: now.as_micros().saturating_add(self.left) }
    }
}

impl Counting for Window {
    fn charge_beyond(&mut self, _: &Quota, _: Timestamp, units: u64) -> u64 {
        charge_beyond(&mut self.used, units)
    }

    #[cfg(feature = "_shared")]
    fn same_window_for(&self, _: &Quota, _: Timestamp) -> Option<u64> {
        Some(self.next_end())
    }

    /// Once another window has begun, the units of that mark are gone.
    fn give_back(&mut self, quota: &Quota, now: Timestamp, units: u64, mark: Mark) {
        if self.start(quota, now) == mark.at {
            self.used = self.used.saturating_sub(units);
        }
    }

    /// In the window that the share is of, if that had begun.
    #[cfg(feature = "memory")]
    fn share_mark(share: &QuotaUsage, _: u64, charged_at: Timestamp) -> Option<Mark> {
        match share.state {
            Some(State::FixedWindow { start, .. }) if start <= charged_at.as_micros() => {
                Some(Mark::at(start))
            }
            _ => None,
        }
    }

    /// In the window that runs, else in theirs.
    fn add_share(&mut self, quota: &Quota, _: Timestamp, share: &QuotaUsage, their_now: Timestamp) {
        let theirs = Self::at(quota, share.state.clone(), their_now);
        match (self.used, theirs.used) {
            (_, 0) => {}
            (0, more) => {
                let left = if quota.start_micros().is_some() { self.left } else { theirs.left };
                *self = Self { used: more.min(quota.limit()), left };
            }
            (used, more) => {
                self.used = used.max(used.saturating_add(more).min(quota.limit()));
            }
        }
    }

    /// Returns if windows begin at a set time, and that time.
    #[cfg(feature = "redis")]
    fn script_params(quota: &Quota, _: u64) -> [u64; 6] {
        let start = quota.start_micros();
        [start.is_some().into(), start.unwrap_or(0), 0, 0, 0, 0]
    }

    #[cfg(feature = "memory")]
    fn from_bound(quota: &Quota, bound: UsageBound, _: Timestamp) -> State {
        let start = bound.until.saturating_sub(quota.window_micros());
        State::FixedWindow { start, used: bound.used }
    }

    #[cfg(feature = "memory")]
    fn ring(quota: &Quota) -> Ring {
        Ring { tick: quota.window_micros(), ticks: 3, levels: 5 }
    }
}

//! Two counters on windows aligned to the epoch: what the previous window used
//! fades out in proportion to how far the current one has run.
//!
//! The faded part is rounded *up*. Rounded down, a limit of 1 would pass twice
//! within two milliseconds: the one unit of the window before weighs
//! nothing a microsecond into the next. (The scheme is Cloudflare's, "How we
//! built rate limiting capable of scaling to millions of domains", 2017; there
//! it is a float.)

use super::{
    Arithmetic, Counting, Mark, QuotaUsage, State, Wait, charge_beyond, div_ceil, div_rem,
};
#[cfg(feature = "memory")]
use super::{Ring, UsageBound, WordEncoding};
use crate::{quota::Quota, time::Timestamp};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Windows {
    /// When the current window began. It may lie ahead of now, if the clock has
    /// stepped back: until the clock catches up, the window stands at its start.
    start: u64,
    current: u64,
    previous: u64,
}

impl Windows {
    /// The same windows at `now`, some time later.
    #[inline]
    fn moved_to(self, quota: &Quota, now: Timestamp) -> Self {
        let length = quota.window_micros();
        // Mostly it is the same window, which takes no division to see.
        if now.as_micros().checked_sub(self.start).is_some_and(|age| age < length) {
            return self;
        }
        let start = start_of(quota, now);
        let fresh = Self { start, current: 0, previous: 0 };
        match self.start.checked_sub(start) {
            // One window ahead at most is a step of the clock; more is no
            // window of this key.
            Some(lead) if lead <= length => self,
            Some(_) => fresh,
            None if start - self.start == length => Self { previous: self.current, ..fresh },
            None => fresh,
        }
    }

    /// Microseconds until the current window ends: more than its length where it
    /// lies ahead of now.
    pub(super) const fn left(self, quota: &Quota, now: Timestamp) -> u64 {
        self.start.saturating_add(quota.window_micros()).saturating_sub(now.as_micros())
    }

    /// Units of the previous window that still weigh, rounded up.
    #[inline]
    fn faded(self, quota: &Quota, now: Timestamp) -> u64 {
        let length = quota.window_micros();
        let left = self.left(quota, now).min(length);
        div_ceil(u128::from(self.previous) * u128::from(left), length)
    }
}

impl Arithmetic for Windows {
    fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        match state {
            Some(State::SlidingWindow { start, current, previous }) => {
                Self { start, current, previous }.moved_to(quota, now)
            }
            _ => Self { start: start_of(quota, now), current: 0, previous: 0 },
        }
    }

    fn state(&self, _: &Quota, _: Timestamp) -> Option<State> {
        (self.current > 0 || self.previous > 0).then_some(State::SlidingWindow {
            start: self.start,
            current: self.current,
            previous: self.previous,
        })
    }

    #[inline]
    fn wait(&self, quota: &Quota, now: Timestamp, cost: u64) -> Wait {
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

    #[inline]
    fn charge(&mut self, _: &Quota, _: Timestamp, cost: u64) {
        self.current = self.current.saturating_add(cost);
    }

    #[inline]
    fn remaining(&self, quota: &Quota, now: Timestamp) -> u64 {
        let used = self.current.saturating_add(self.faded(quota, now));
        quota.limit().saturating_sub(used)
    }

    fn reset_after(&self, quota: &Quota, now: Timestamp) -> u64 {
        let left = self.left(quota, now);
        match (self.current, self.previous) {
            (0, 0) => 0,
            (0, _) => left,
            _ => left + quota.window_micros(),
        }
    }

    fn mark(&self, _: &Quota, _: Timestamp) -> Mark {
        Mark::at(self.start)
    }

    #[cfg(feature = "memory")]
    fn word(&self, encoding: &WordEncoding, _: Timestamp, origin: Timestamp) -> Option<u64> {
        if self.current == 0 && self.previous == 0 {
            return None;
        }
        let window = encoding.quota().window_micros();
        let index = (self.start / window).checked_sub(origin.as_micros() / window)?;
        encoding.join(index, &[self.current, self.previous])
    }

    #[cfg(feature = "memory")]
    #[inline]
    fn of_word(encoding: &WordEncoding, word: u64, now: Timestamp, origin: Timestamp) -> Self {
        let (current, previous) = (encoding.units(word, 1), encoding.units(word, 0));
        let windows = Self { start: start_of_word(encoding, word, origin), current, previous };
        windows.moved_to(encoding.quota(), now)
    }

    #[cfg(feature = "memory")]
    #[inline]
    fn word_with(
        &self,
        encoding: &WordEncoding,
        word: u64,
        cost: u64,
        origin: Timestamp,
    ) -> Option<u64> {
        (self.start == start_of_word(encoding, word, origin))
            .then(|| encoding.with_units(word, 1, cost))
    }

    /// The part that has faded until now is gone; the rest counts as if it had been used in the
    /// current window, so for longer.
    #[cfg(feature = "memory")]
    fn bound(&self, quota: &Quota, now: Timestamp) -> UsageBound {
        let until = self.start.saturating_add(2 * quota.window_micros());
        UsageBound { used: quota.limit() - self.remaining(quota, now), until }
    }
}

impl Counting for Windows {
    fn charge_beyond(&mut self, _: &Quota, _: Timestamp, units: u64) -> u64 {
        charge_beyond(&mut self.current, units)
    }

    #[cfg(feature = "_shared")]
    fn same_window_for(&self, quota: &Quota, now: Timestamp) -> Option<u64> {
        Some(self.left(quota, now))
    }

    /// The window of that mark may be the previous one by now. Later its units are gone.
    fn give_back(&mut self, quota: &Quota, _: Timestamp, units: u64, mark: Mark) {
        if self.start == mark.at {
            self.current = self.current.saturating_sub(units);
        } else if self.start.checked_sub(quota.window_micros()) == Some(mark.at) {
            self.previous = self.previous.saturating_sub(units);
        }
    }

    #[cfg(feature = "memory")]
    fn share_mark(share: &QuotaUsage, _: u64, charged_at: Timestamp) -> Option<Mark> {
        Some(Mark::at(start_of(&share.quota, charged_at)))
    }

    /// Window by window.
    fn add_share(&mut self, quota: &Quota, _: Timestamp, share: &QuotaUsage, their_now: Timestamp) {
        let theirs = Self::at(quota, share.state.clone(), their_now);
        let sum = |own: u64, more: u64| own.max(own.saturating_add(more).min(quota.limit()));
        self.current = sum(self.current, theirs.current);
        self.previous = sum(self.previous, theirs.previous);
    }

    #[cfg(feature = "memory")]
    fn from_bound(quota: &Quota, bound: UsageBound, _: Timestamp) -> State {
        let start = bound.until.saturating_sub(2 * quota.window_micros());
        State::SlidingWindow { start, current: bound.used, previous: 0 }
    }

    #[cfg(feature = "memory")]
    fn ring(quota: &Quota) -> Ring {
        Ring { tick: quota.window_micros(), ticks: 3, levels: 5 }
    }
}

/// When the current window of a word began.
#[cfg(feature = "memory")]
#[inline]
fn start_of_word(encoding: &WordEncoding, word: u64, origin: Timestamp) -> u64 {
    let window = encoding.quota().window_micros();
    (encoding.before(word, 2) + origin.as_micros() / window).saturating_mul(window)
}

/// When the window of that instant began.
const fn start_of(quota: &Quota, now: Timestamp) -> u64 {
    now.as_micros() - now.as_micros() % quota.window_micros()
}

/// How many microseconds before its window's end `units` have faded to `room`,
/// which is below `units`.
fn fade_time(quota: &Quota, units: u64, room: u64) -> u64 {
    let product = u128::from(room) * u128::from(quota.window_micros());
    div_rem(product, units.max(1)).0
}

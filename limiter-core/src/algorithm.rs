//! The algorithms: pure, exact, in integers, and the only place that has them.
//!
//! Every store gives the answers of these functions: it keeps a [`State`], and
//! from that state and the present instant follows a [`Usage`], which says what
//! is left, how long to wait, and what the state becomes when a request is
//! charged. No clock, no lock, no float.

#[cfg(feature = "memory")]
mod compact;
mod fixed_window;
mod gcra;
mod integers;
mod outage;
mod sliding_window;

#[cfg(test)]
mod tests;

#[cfg(feature = "memory")]
pub(crate) use self::compact::{CompactUsage, MAX_WORD};
use self::integers::{beyond, div_ceil, div_rem};
#[cfg(feature = "memory")]
pub(crate) use self::outage::PackedUsage;
pub(crate) use self::outage::QuotaUsage;
use crate::{
    quota::{Algorithm, Quota},
    time::Timestamp,
};

/// The stored state of one quota of one key. `None` in its place means that
/// nothing was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// The state of [`Algorithm::Gcra`]: the theoretical arrival time, `tat` whole
    /// microseconds since the epoch and `fraction / limit` of one more.
    Gcra {
        /// Whole microseconds since the Unix epoch.
        tat: u64,
        /// In units of `1 / limit` microseconds, below `limit`.
        fraction: u64,
        /// The limit in force when this was written; a changed limit is
        /// recognised by it and keeps the units used.
        limit: u64,
        /// The bucket's size when this was written: the most that can be used.
        burst: u64,
    },
    /// The state of [`Algorithm::FixedWindow`].
    FixedWindow {
        /// When the window began, microseconds since the Unix epoch.
        start: u64,
        /// Units used in it.
        used: u64,
    },
    /// The state of [`Algorithm::SlidingWindow`].
    SlidingWindow {
        /// When the current window began, a multiple of the window.
        start: u64,
        /// Units used in the current window.
        current: u64,
        /// Units used in the window before.
        previous: u64,
    },
}

/// Where the units of one charge went, so that they can be given back: to the window
/// that was charged and to no other, and without those that time has paid back.
///
/// Of windows `at` is the start of the one that was charged; of
/// [`Algorithm::Gcra`] the arrival time after the charge, with its `fraction` in units
/// of `1 / limit` microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Microseconds since the Unix epoch.
    pub at: u64,
    /// In units of `1 / limit` microseconds; 0 for windows.
    pub fraction: u64,
}

/// How long the same request has to wait until it would pass, if nothing else
/// arrived.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Wait {
    /// It passes now.
    None,
    /// It passes that many microseconds from now, and not one earlier.
    Micros(u64),
    /// It asks for more than there ever is.
    Never,
}

/// A quota of one key at one instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usage {
    quota: Quota,
    now: Timestamp,
    used: AlgorithmUsage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum AlgorithmUsage {
    Gcra(gcra::Debt),
    FixedWindow(fixed_window::Window),
    SlidingWindow(sliding_window::Windows),
}

/// Runs the same method of whichever algorithm it is.
macro_rules! by_algorithm {
    ($used:expr, $inner:ident => $call:expr) => {
        match $used {
            AlgorithmUsage::Gcra($inner) => $call,
            AlgorithmUsage::FixedWindow($inner) => $call,
            AlgorithmUsage::SlidingWindow($inner) => $call,
        }
    };
}

impl Usage {
    /// Returns the usage that `state` means at `now`. State of another algorithm counts as
    /// none.
    pub(crate) fn at(quota: Quota, state: Option<State>, now: Timestamp) -> Self {
        let used = match quota.algorithm() {
            Algorithm::Gcra => AlgorithmUsage::Gcra(gcra::Debt::at(&quota, state, now)),
            Algorithm::FixedWindow => {
                AlgorithmUsage::FixedWindow(fixed_window::Window::at(&quota, state, now))
            }
            Algorithm::SlidingWindow => {
                AlgorithmUsage::SlidingWindow(sliding_window::Windows::at(&quota, state, now))
            }
        };
        Self { quota, now, used }
    }

    /// Returns the state to store; `None` if nothing is used.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        by_algorithm!(self.used, used => used.state(&self.quota, self.now))
    }

    /// How long a request of that cost has to wait.
    #[inline]
    pub(crate) fn wait(&self, cost: u64) -> Wait {
        if cost > self.quota.burst() {
            return Wait::Never;
        }
        by_algorithm!(self.used, used => used.wait(&self.quota, self.now, cost))
    }

    /// The level after `cost` units more. The caller has seen that they fit,
    /// or means to go beyond the limit.
    pub(crate) fn charge(mut self, cost: u64) -> Self {
        self.take(cost);
        self
    }

    /// The same in place.
    #[inline]
    pub(crate) fn take(&mut self, cost: u64) {
        match &mut self.used {
            AlgorithmUsage::Gcra(bucket) => *bucket = bucket.charge(&self.quota, cost),
            AlgorithmUsage::FixedWindow(window) => *window = window.charge(cost),
            AlgorithmUsage::SlidingWindow(windows) => *windows = windows.charge(cost),
        }
    }

    /// The usage after `units` more that nothing refuses, though they may go beyond the
    /// limit: they are used up already.
    ///
    /// Of [`Algorithm::Gcra`] at most two full buckets are used then, of windows at most
    /// [`MAX_UNITS`] units.
    #[must_use]
    pub fn charge_beyond(mut self, units: u64) -> Self {
        self.used = match self.used {
            AlgorithmUsage::Gcra(debt) => {
                AlgorithmUsage::Gcra(debt.charge_beyond(&self.quota, units))
            }
            AlgorithmUsage::FixedWindow(window) => {
                AlgorithmUsage::FixedWindow(window.charge_beyond(units))
            }
            AlgorithmUsage::SlidingWindow(windows) => {
                AlgorithmUsage::SlidingWindow(windows.charge_beyond(units))
            }
        };
        self
    }

    /// Returns where the units of the last charge are, of the usage right after it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        match self.used {
            AlgorithmUsage::Gcra(debt) => debt.mark(self.now),
            AlgorithmUsage::FixedWindow(window) => window.mark(&self.quota, self.now),
            AlgorithmUsage::SlidingWindow(windows) => windows.mark(),
        }
    }

    /// The usage without `units` of the charge of that mark: what is still there of
    /// them, never below nothing, and never in another window.
    ///
    /// A window is then as if they had never been charged, and so is a bucket, but for
    /// what time has paid back of them: that stays charged, or else it would be paid
    /// back twice. Of a charge of more units, these are the last ones.
    #[must_use]
    pub fn give_back(mut self, units: u64, mark: Mark) -> Self {
        let (quota, now) = (&self.quota, self.now);
        self.used = match self.used {
            AlgorithmUsage::Gcra(debt) => {
                AlgorithmUsage::Gcra(debt.give_back(quota, now, units, mark))
            }
            AlgorithmUsage::FixedWindow(window) => {
                AlgorithmUsage::FixedWindow(window.give_back(quota, now, units, mark))
            }
            AlgorithmUsage::SlidingWindow(windows) => {
                AlgorithmUsage::SlidingWindow(windows.give_back(quota, units, mark))
            }
        };
        self
    }

    #[cfg(feature = "memory")]
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// The quota.
    #[must_use]
    pub const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Units that would pass at once.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        by_algorithm!(self.used, used => used.remaining(&self.quota, self.now))
    }

    /// Returns true if at most a fifth of what can be used at once is left.
    #[inline]
    pub(crate) fn is_near_limit(&self) -> bool {
        match self.used {
            // Without the division that the remaining units take.
            AlgorithmUsage::Gcra(debt) => debt.is_near_limit(&self.quota),
            _ => self.remaining().saturating_mul(5) <= self.quota.limit(),
        }
    }

    /// Microseconds until nothing is used any more.
    #[must_use]
    pub fn reset_after(&self) -> u64 {
        by_algorithm!(self.used, used => used.reset_after(&self.quota, self.now))
    }

    /// Returns true if nothing is used any more.
    #[cfg(feature = "memory")]
    pub(crate) fn is_expired(&self) -> bool {
        self.reset_after() == 0
    }

    /// Microseconds within which no more than [`remaining`](Self::remaining)
    /// units can pass: the effective window of
    /// draft-ietf-httpapi-ratelimit-headers-11.
    ///
    /// Never shorter than those units take at the quota's own rate, which is
    /// the cap on the ratio that the draft asks for, nor than the time until
    /// one unit more is there.
    pub(crate) fn effective_window(&self) -> u64 {
        let remaining = self.remaining();
        if let AlgorithmUsage::FixedWindow(window) = self.used {
            return window.next_end();
        }
        let one_more = match self.wait(remaining + 1) {
            Wait::Micros(micros) => micros,
            Wait::None | Wait::Never => 0,
        };
        let in_windows = u128::from(remaining) * u128::from(self.quota.window_micros());
        one_more.max(div_ceil(in_windows, self.quota.limit()))
    }

    /// Returns the units used in proportion to what can be used at once, 0 to
    /// 1,000,000.
    #[cfg(feature = "memory")]
    #[must_use]
    pub(crate) fn fill(&self) -> u32 {
        let burst = u128::from(self.quota.burst());
        let used = burst - u128::from(self.remaining()).min(burst);
        u32::try_from(used * 1_000_000 / burst).unwrap_or(1_000_000)
    }
}

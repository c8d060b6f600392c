//! The algorithms: pure, exact, in integers, and the only place that has them.
//!
//! Every store gives the answers of these functions: it keeps a [`State`], and
//! from that state and the present instant follows a [`Usage`], which says what
//! is left, how long to wait, and what the state becomes when a request is
//! charged. No clock, no lock, no float.
//!
//! Each algorithm is a file that implements [`Arithmetic`].

#[cfg(feature = "memory")]
mod displaced_usage_bound;
mod fixed_window;
mod gcra;
mod integer_math;
#[cfg(feature = "memory")]
mod memory_word;
mod outage_units;
#[cfg(feature = "_shared")]
mod partly_used_charge;
mod sliding_window;
mod state;
mod strict_window;
mod traits;

#[cfg(test)]
mod tests;

use self::gcra::Debt;
use self::integer_math::{charge_beyond, div_ceil, div_rem};
pub(crate) use self::outage_units::QuotaUsage;
pub use self::state::State;
pub(crate) use self::state::max_numbers;
pub(crate) use self::strict_window::{Segments, Summary};
use self::traits::Counting;
pub use self::traits::Mark;
pub(crate) use self::traits::{Arithmetic, Wait};
#[cfg(feature = "memory")]
pub(crate) use self::{
    displaced_usage_bound::{Ring, UsageBound},
    memory_word::{Grains, MAX_WORD, WordCheck, WordEncoding, WordUsage},
    outage_units::PackedUsage,
    state::Numbers,
};
pub(crate) use self::{fixed_window::Window, sliding_window::Windows};
use crate::{quota::Quota, time::Timestamp};

/// A quota of one key at one instant.
///
/// `S` is what it has of a strict window: all that can be stored, or a summary of a
/// fixed size that answers the same questions at this instant. The others are as they
/// are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usage<S = Segments> {
    quota: Quota,
    now: Timestamp,
    used: AlgorithmUsage<S>,
}

/// The usage of a quota by one key, as its algorithm counts it at one instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
enum AlgorithmUsage<S> {
    Gcra(Debt),
    FixedWindow(Window),
    SlidingWindow(Windows),
    StrictWindow(S),
}

/// Runs the same method of whichever algorithm it is.
macro_rules! by_algorithm {
    ($used:expr, $inner:ident => $call:expr) => {
        match $used {
            $crate::algorithm::AlgorithmUsage::Gcra($inner) => $call,
            $crate::algorithm::AlgorithmUsage::FixedWindow($inner) => $call,
            $crate::algorithm::AlgorithmUsage::SlidingWindow($inner) => $call,
            $crate::algorithm::AlgorithmUsage::StrictWindow($inner) => $call,
        }
    };
}
use by_algorithm;

/// Runs the same function of the algorithm of a quota, whichever it is.
macro_rules! of_algorithm {
    ($quota:expr, $arithmetic:ident => $call:expr) => {
        match $quota.algorithm() {
            $crate::quota::Algorithm::Gcra => {
                type $arithmetic = $crate::algorithm::Debt;
                $call
            }
            $crate::quota::Algorithm::FixedWindow => {
                type $arithmetic = $crate::algorithm::Window;
                $call
            }
            $crate::quota::Algorithm::SlidingWindow => {
                type $arithmetic = $crate::algorithm::Windows;
                $call
            }
            $crate::quota::Algorithm::StrictWindow => {
                type $arithmetic = $crate::algorithm::Segments;
                $call
            }
        }
    };
}
use of_algorithm;

/// Makes an [`AlgorithmUsage`] by a function of the algorithm of a quota; `$strict` is the
/// type of a strict window.
macro_rules! algorithm_usage {
    ($quota:expr, $strict:ty, $function:ident($($argument:expr),*)) => {
        match $quota.algorithm() {
            $crate::quota::Algorithm::Gcra => $crate::algorithm::AlgorithmUsage::Gcra(
                $crate::algorithm::Debt::$function($($argument),*)
            ),
            $crate::quota::Algorithm::FixedWindow => {
                $crate::algorithm::AlgorithmUsage::FixedWindow(
                    $crate::algorithm::Window::$function($($argument),*)
                )
            }
            $crate::quota::Algorithm::SlidingWindow => {
                $crate::algorithm::AlgorithmUsage::SlidingWindow(
                    $crate::algorithm::Windows::$function($($argument),*)
                )
            }
            $crate::quota::Algorithm::StrictWindow => {
                $crate::algorithm::AlgorithmUsage::StrictWindow(
                    <$strict>::$function($($argument),*)
                )
            }
        }
    };
}

#[allow(private_bounds, reason = "nobody else has arithmetic")]
impl<S: Arithmetic> Usage<S> {
    /// Returns the usage that `state` means at `now`. State of another algorithm counts as
    /// none.
    pub(crate) fn at(quota: Quota, state: Option<State>, now: Timestamp) -> Self {
        let used = algorithm_usage!(quota, S, at(&quota, state, now));
        Self { quota, now, used }
    }

    /// Returns the state to store; `None` if nothing is used.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        by_algorithm!(&self.used, used => used.state(&self.quota, self.now))
    }

    /// How long a request of that cost has to wait.
    #[inline]
    pub(crate) fn wait(&self, cost: u64) -> Wait {
        if cost > self.quota.burst() {
            return Wait::Never;
        }
        by_algorithm!(&self.used, used => used.wait(&self.quota, self.now, cost))
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
        by_algorithm!(&mut self.used, used => used.charge(&self.quota, self.now, cost));
    }

    /// Returns where the units of the last charge are, of the usage right after it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        by_algorithm!(&self.used, used => used.mark(&self.quota, self.now))
    }

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
        by_algorithm!(&self.used, used => used.remaining(&self.quota, self.now))
    }

    /// Returns true if at most a fifth of what can be used at once is left.
    #[inline]
    pub(crate) fn is_near_limit(&self) -> bool {
        match &self.used {
            // Without the division that the remaining units take.
            AlgorithmUsage::Gcra(debt) => debt.is_near_limit(&self.quota),
            _ => self.remaining().saturating_mul(5) <= self.quota.limit(),
        }
    }

    /// Microseconds until nothing is used any more.
    #[must_use]
    pub fn reset_after(&self) -> u64 {
        by_algorithm!(&self.used, used => used.reset_after(&self.quota, self.now))
    }

    /// Returns true if nothing is used any more.
    #[cfg(feature = "memory")]
    pub(crate) fn is_expired(&self) -> bool {
        self.reset_after() == 0
    }

    /// Microseconds within which no more than `remaining` units can pass, which are those
    /// of [`remaining`](Self::remaining): the effective window of
    /// draft-ietf-httpapi-ratelimit-headers-11.
    ///
    /// Never shorter than those units take at the quota's own rate, which is
    /// the cap on the ratio that the draft asks for, nor than the time until
    /// one unit more is there.
    pub(crate) fn effective_window(&self, remaining: u64) -> u64 {
        if let AlgorithmUsage::FixedWindow(window) = &self.used {
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

impl Usage {
    /// Charges `units` that nothing refuses, though they may go beyond the limit: they are
    /// used up already. Returns the mark of the charge.
    ///
    /// At most two full buckets of [`Algorithm::Gcra`](crate::Algorithm::Gcra) are used then, and of windows at most
    /// [`MAX_UNITS`](crate::quota::MAX_UNITS) units. The units beyond that are not
    /// recorded, and not given back: the mark says how many these are.
    pub fn charge_beyond(&mut self, units: u64) -> Mark {
        let Self { quota, now, used } = self;
        let recorded = by_algorithm!(used, used => used.charge_beyond(quota, *now, units));
        Mark { unrecorded: units.saturating_sub(recorded), ..self.mark() }
    }

    /// The usage without `units` of the charge of that mark: what is still there of
    /// them, never below nothing, and never in another window.
    ///
    /// A window is then as if they had never been charged, and so is a bucket, but for
    /// what time has paid back of them: that stays charged, or else it would be paid
    /// back twice. Of a charge of more units, these are the last ones; those of them that
    /// were not recorded are given back nowhere.
    #[must_use]
    pub fn give_back(mut self, units: u64, mark: Mark) -> Self {
        let units = mark.recorded_of(units);
        by_algorithm!(&mut self.used, used => used.give_back(&self.quota, self.now, units, mark));
        self
    }

    /// Returns what a decision keeps of it.
    pub(crate) fn summary(&self) -> Usage<Summary> {
        let Self { quota, now, .. } = *self;
        let used = match &self.used {
            AlgorithmUsage::Gcra(used) => AlgorithmUsage::Gcra(*used),
            AlgorithmUsage::FixedWindow(used) => AlgorithmUsage::FixedWindow(*used),
            AlgorithmUsage::SlidingWindow(used) => AlgorithmUsage::SlidingWindow(*used),
            AlgorithmUsage::StrictWindow(used) => {
                AlgorithmUsage::StrictWindow(Summary::of(used, &quota))
            }
        };
        Usage { quota, now, used }
    }
}

/// Returns the six numbers that the scripts take of a quota's algorithm, with a check of
/// that cost.
#[cfg(feature = "redis")]
pub(crate) fn script_params(quota: &Quota, cost: u64) -> [u64; 6] {
    of_algorithm!(quota, A => A::script_params(quota, cost))
}

/// Returns units as the scripts take them with a settlement: of a bucket as debt, with
/// the most debt that it is charged beyond its limit; of windows as they are, with zeros.
#[cfg(feature = "redis")]
pub(crate) fn settlement_params(quota: &Quota, units: u64) -> [[u64; 2]; 2] {
    of_algorithm!(quota, A => A::settlement_params(quota, units))
}

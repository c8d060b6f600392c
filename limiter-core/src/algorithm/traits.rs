//! The traits of an algorithm: [`Arithmetic`] and [`Counting`].

#[cfg(feature = "memory")]
use super::Numbers;
#[cfg(feature = "memory")]
use super::max_numbers;
use super::{QuotaUsage, State, of_algorithm};
#[cfg(feature = "memory")]
use super::{Ring, UsageBound, WordEncoding};
#[cfg(feature = "redis")]
use crate::quota::MAX_UNITS;
use crate::{quota::Quota, time::Timestamp};

/// Where the units of one charge went, so that they can be given back: to the window
/// that was charged and to no other, and without those that time has paid back.
///
/// `at` is, of windows, the start of the one that was charged, or of its segment; of
/// [`Algorithm::Gcra`](crate::Algorithm::Gcra) the arrival time after the charge, with its `fraction` in units
/// of `1 / limit` microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Microseconds since the Unix epoch.
    pub at: u64,
    /// In units of `1 / limit` microseconds; 0 for windows.
    pub fraction: u64,
    /// How many of the last units of the charge went nowhere, since the usage had reached
    /// the most that it can be.
    pub unrecorded: u64,
}

impl Mark {
    /// Returns the mark of a charge that was recorded whole, in a window.
    pub(super) const fn at(at: u64) -> Self {
        Self { at, fraction: 0, unrecorded: 0 }
    }

    /// Returns how many of the last `units` of the charge were recorded, and can be given
    /// back.
    pub(crate) const fn recorded_of(self, units: u64) -> u64 {
        units.saturating_sub(self.unrecorded)
    }

    /// Returns the mark as a quota of that limit can have it: one of another limit may
    /// have a larger fraction.
    pub(crate) fn within(self, quota: &Quota) -> Self {
        Self { fraction: self.fraction.min(quota.limit() - 1), ..self }
    }

    /// Returns the mark of the units before the last `units` of a charge of that quota.
    pub(crate) fn before(self, quota: &Quota, units: u64) -> Self {
        let recorded = self.recorded_of(units);
        let mark = of_algorithm!(quota, A => A::mark_before(quota, self, recorded));
        Self { unrecorded: self.unrecorded.saturating_sub(units), ..mark }
    }
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

/// The arithmetic of an algorithm on what a key has used of a quota at one instant.
pub(crate) trait Arithmetic: Sized {
    /// Returns the usage that a state means at `now`. State of another algorithm counts
    /// as none, and so does state that only a clock gone wrong can have written.
    fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self;

    /// Returns the state to store; `None` if nothing is used.
    fn state(&self, quota: &Quota, now: Timestamp) -> Option<State>;

    /// Returns how long a request of that cost, which is within the burst, has to wait.
    fn wait(&self, quota: &Quota, now: Timestamp, cost: u64) -> Wait;

    /// Charges units that fit.
    fn charge(&mut self, quota: &Quota, now: Timestamp, cost: u64);

    /// Returns where the units of the last charge are.
    fn mark(&self, quota: &Quota, now: Timestamp) -> Mark;

    /// Returns the units that would pass at once.
    fn remaining(&self, quota: &Quota, now: Timestamp) -> u64;

    /// Returns the microseconds until nothing is used any more.
    fn reset_after(&self, quota: &Quota, now: Timestamp) -> u64;

    /// Returns the state's word in the memory store: see [`memory_word`](super::memory_word).
    #[cfg(feature = "memory")]
    fn word(&self, encoding: &WordEncoding, now: Timestamp, origin: Timestamp) -> Option<u64>;

    /// Returns the word of this usage, which a word says, with units more that fit; `None`
    /// if time has changed more of it than the units.
    #[cfg(feature = "memory")]
    #[inline]
    fn word_with(
        &self,
        encoding: &WordEncoding,
        word: u64,
        cost: u64,
        origin: Timestamp,
    ) -> Option<u64> {
        let _ = (encoding, word, cost, origin);
        None
    }

    /// Returns the usage at `now` of the state of a word.
    #[cfg(feature = "memory")]
    fn of_word(encoding: &WordEncoding, word: u64, now: Timestamp, origin: Timestamp) -> Self;

    /// Returns the upper bound of usage that is not none.
    #[cfg(feature = "memory")]
    fn bound(&self, quota: &Quota, now: Timestamp) -> UsageBound;
}

/// An algorithm: its arithmetic, and the forms in which stores keep what it counts.
pub(super) trait Counting: Arithmetic {
    /// Charges units that nothing refuses: at most two full buckets, or [`MAX_UNITS`].
    /// Returns how many whole units were recorded.
    fn charge_beyond(&mut self, quota: &Quota, now: Timestamp, units: u64) -> u64;

    /// Gives back what is still there of `units` of the charge of that mark.
    fn give_back(&mut self, quota: &Quota, now: Timestamp, units: u64, mark: Mark);

    /// Gives back the last `units` of a charge, of the usage right after it.
    #[cfg(feature = "_shared")]
    fn give_back_last(&mut self, quota: &Quota, now: Timestamp, units: u64) {
        let mark = self.mark(quota, now);
        self.give_back(quota, now, units, mark);
    }

    /// Returns the microseconds for which a charge would go into the same window as one
    /// now; `None` for a bucket. (Leases ask the [`Summary`](super::Summary) of a strict
    /// window.)
    #[cfg(feature = "_shared")]
    fn same_window_for(&self, quota: &Quota, now: Timestamp) -> Option<u64> {
        let _ = (quota, now);
        None
    }

    /// Returns the mark of the units before the last `units` of a charge: in a window
    /// they are in the same place.
    fn mark_before(quota: &Quota, mark: Mark, units: u64) -> Mark {
        let _ = (quota, units);
        mark
    }

    /// Returns the mark of the first units of a share, which were charged at that
    /// instant; `None` if they are no longer in it.
    #[cfg(feature = "memory")]
    fn share_mark(share: &QuotaUsage, units: u64, charged_at: Timestamp) -> Option<Mark>;

    /// Adds `share`, which was admitted elsewhere, up to the limit. `their_now` is the
    /// instant by the clock that admitted it.
    fn add_share(
        &mut self,
        quota: &Quota,
        now: Timestamp,
        share: &QuotaUsage,
        their_now: Timestamp,
    );

    /// Returns the numbers of a share, but for its units: see [`PackedUsage`](super::PackedUsage).
    #[cfg(feature = "memory")]
    fn pack_share(share: &QuotaUsage) -> Numbers {
        share.state.as_ref().map(State::numbers).unwrap_or_default()
    }

    /// Returns the share of those numbers, which zeros may follow.
    #[cfg(feature = "memory")]
    fn unpack_share(quota: Quota, units: u64, numbers: &[u64]) -> QuotaUsage {
        let state = State::of_numbers(quota.algorithm(), numbers);
        QuotaUsage { units, state, ..QuotaUsage::new(quota) }
    }

    /// Returns the most numbers of a share.
    #[cfg(feature = "memory")]
    fn max_share_numbers(quota: &Quota) -> usize {
        max_numbers(quota)
    }

    /// Returns six numbers of the algorithm's own, as `algorithms.lua` takes them with
    /// a check of that cost.
    #[cfg(feature = "redis")]
    fn script_params(quota: &Quota, cost: u64) -> [u64; 6] {
        let _ = (quota, cost);
        [0; 6]
    }

    /// Returns the numbers of [`settlement_params`](super::settlement_params).
    #[cfg(feature = "redis")]
    fn settlement_params(quota: &Quota, units: u64) -> [[u64; 2]; 2] {
        let _ = quota;
        [[units.min(MAX_UNITS), 0], [0; 2]]
    }

    /// Returns a state that is used at least as much, and as long, as its bound says.
    #[cfg(feature = "memory")]
    fn from_bound(quota: &Quota, bound: UsageBound, now: Timestamp) -> State;

    /// Returns the ring of ticks in which bounds end.
    #[cfg(feature = "memory")]
    fn ring(quota: &Quota) -> Ring;
}

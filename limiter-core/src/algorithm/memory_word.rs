//! A [`Usage`] in one word of 56 bits, for the memory store: nearly every usage
//! has one, and those that have none are kept as a [`State`].
//!
//! ```text
//! gcra            | arrival time, in the quota's grain, since the origin        |
//! fixed_window    | start, in microseconds since a window before the origin | used |
//! sliding_window  | start, in windows since the origin   | current | previous  |
//! strict_window   | start, in segments since the origin | newest | before | ...  |
//! ```
//! The later state of a counter is always the larger word: it is the word that
//! tells the least indebted of several keys of one counter.
//!
//! All that a `gcra` quota ever charges or pays back is a multiple of the
//! greatest common divisor of its window and its limit. In this grain the arrival
//! time is a whole number, and so exact: with `window / limit = p / q`, one unit
//! of the quota is `p` grains and one microsecond `q` of them. A field for units
//! has as many bits as the limit.

mod word_check;

pub(crate) use self::word_check::{Grains, WordCheck, WordUsage};
use super::{
    AlgorithmUsage, Arithmetic, Segments, State, Usage, UsageBound, Window, Windows, by_algorithm,
    gcra::{Debt, wait_time},
};
use crate::{
    quota::{Algorithm, Quota},
    time::Timestamp,
};

/// The bits of a word.
const BITS: u32 = 56;

/// The words from here on stand for no usage. There are two.
pub(crate) const MAX_WORD: u64 = (1 << BITS) - 2;

/// The numbers by which usages of one quota become words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct WordEncoding {
    quota: Quota,
    /// The grain of `gcra`, in `1 / limit` microseconds.
    grain: u64,
    /// Grains that a unit costs, and grains that pass in a microsecond.
    per_unit: u64,
    per_micro: u64,
    /// A full bucket in grains, at most [`MAX_WORD`].
    bucket: u64,
    /// The largest debt in grains with which more than a fifth of the bucket is left.
    far_from_limit: u64,
    /// The bits of a number of units.
    unit_bits: u32,
}

impl WordEncoding {
    pub(crate) fn new(quota: Quota) -> Self {
        let grain = greatest_common_divisor(quota.window_micros(), quota.limit());
        let unit_bits = u64::BITS - quota.limit().leading_zeros();
        let (per_unit, per_micro) = (quota.window_micros() / grain, quota.limit() / grain);
        let bucket = quota.burst().saturating_mul(per_unit).min(MAX_WORD);
        let far_from_limit = (quota.burst() - quota.burst() / 5 - 1).saturating_mul(per_unit);
        Self { quota, grain, per_unit, per_micro, bucket, far_from_limit, unit_bits }
    }

    pub(crate) const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Returns the word of a usage; `None` where nothing is used or it does not
    /// fit.
    pub(crate) fn pack<S: Arithmetic>(&self, usage: &Usage<S>, origin: Timestamp) -> Option<u64> {
        by_algorithm!(&usage.used, used => used.word(self, usage.now, origin))
    }

    pub(super) fn word_of_debt(
        &self,
        debt: Debt,
        now: Timestamp,
        origin: Timestamp,
    ) -> Option<u64> {
        // A change of the limit may have left a debt at another rate, or one that
        // is no multiple, and one of the burst a debt that a word of this quota would
        // not be believed.
        if !debt.is_of(&self.quota) || !debt.is_within_bounds(&self.quota) {
            return None;
        }
        let debt = u64::try_from(debt.debt()).ok().filter(|debt| *debt > 0)?;
        let grains = debt.is_multiple_of(self.grain).then_some(debt / self.grain)?;
        fits(self.grains_at(now, origin)?.checked_add(grains)?)
    }

    /// Returns the word of one unit that is charged at `now`; `None` where it does not fit. The
    /// words of all keys that were charged nothing since are smaller.
    pub(crate) fn unit_at(&self, now: Timestamp, origin: Timestamp) -> Option<u64> {
        let nothing: Usage = Usage::at(self.quota, None, now);
        self.pack(&nothing.charge(1), origin)
    }

    /// Returns the usage of a word of this quota at `now`.
    #[inline]
    pub(crate) fn unpack<S: Arithmetic>(
        &self,
        word: u64,
        now: Timestamp,
        origin: Timestamp,
    ) -> Usage<S> {
        self.with_usage(word, now, origin, |usage| usage)
    }

    /// Returns what becomes of the usage of a word. It is called for each algorithm by
    /// itself, so that a usage that becomes part of a decision is written there and not
    /// moved.
    #[inline]
    pub(crate) fn with_usage<S: Arithmetic, T>(
        &self,
        word: u64,
        now: Timestamp,
        origin: Timestamp,
        then: impl FnOnce(Usage<S>) -> T,
    ) -> T {
        // Of the quota in its place: of a copy, whose algorithm is looked at, the parts are
        // moved one by one and read back together, which stalls for 5 ns.
        let of = |used| Usage { quota: self.quota, now, used };
        match self.quota.algorithm() {
            Algorithm::Gcra => then(of(AlgorithmUsage::Gcra(self.debt_of_word(word, now, origin)))),
            Algorithm::FixedWindow => {
                then(of(AlgorithmUsage::FixedWindow(Window::of_word(self, word, now, origin))))
            }
            Algorithm::SlidingWindow => {
                then(of(AlgorithmUsage::SlidingWindow(Windows::of_word(self, word, now, origin))))
            }
            Algorithm::StrictWindow => {
                then(of(AlgorithmUsage::StrictWindow(S::of_word(self, word, now, origin))))
            }
        }
    }

    /// Returns the usage of a word of this quota by `gcra`.
    #[inline]
    pub(crate) fn gcra_usage<S>(&self, word: u64, now: Timestamp, origin: Timestamp) -> Usage<S> {
        let used = AlgorithmUsage::Gcra(self.debt_of_word(word, now, origin));
        Usage { quota: self.quota, now, used }
    }

    #[inline]
    pub(crate) fn is_gcra(&self) -> bool {
        self.quota.algorithm() == Algorithm::Gcra
    }

    /// Returns the same as a state, which a quota of other numbers can read.
    pub(crate) fn state(&self, word: u64, now: Timestamp, origin: Timestamp) -> Option<State> {
        if self.is_gcra() {
            let debt = self.debt(self.grains_ahead(word, now, origin));
            return debt.state_of_burst(self.quota.burst(), now);
        }
        self.unpack::<Segments>(word, now, origin).state()
    }

    /// Returns the upper bound of the usage of a word; `None` if nothing is used.
    pub(crate) fn bound(&self, word: u64, now: Timestamp, origin: Timestamp) -> Option<UsageBound> {
        if !self.is_gcra() {
            return self.unpack::<Segments>(word, now, origin).bound();
        }
        let Grains(ahead) = self.grains_ahead(word, now, origin);
        let micros = wait_time::believed(ahead, self.bucket).div_ceil(self.per_micro);
        let until = now.as_micros().saturating_add(micros);
        (micros > 0).then_some(UsageBound { used: 0, until })
    }

    /// Returns true if nothing is used by a word: without the division of its bound.
    #[inline]
    pub(crate) fn is_unused(&self, word: u64, now: Timestamp, origin: Timestamp) -> bool {
        if !self.is_gcra() {
            return self.bound(word, now, origin).is_none();
        }
        let Grains(ahead) = self.grains_ahead(word, now, origin);
        wait_time::believed(ahead, self.bucket) == 0
    }

    /// Returns the debt of a word.
    #[inline]
    pub(super) fn debt_of_word(&self, word: u64, now: Timestamp, origin: Timestamp) -> Debt {
        let Grains(ahead) = self.grains_ahead(word, now, origin);
        self.debt(Grains(wait_time::believed(ahead, self.bucket)))
    }

    /// Returns a number of units in a word, counted from its end.
    pub(super) const fn units(&self, word: u64, field: u32) -> u64 {
        word >> (field * self.unit_bits) & ((1 << self.unit_bits) - 1)
    }

    /// Returns a word with more units in the number at that place, in which there is room.
    pub(super) const fn with_units(&self, word: u64, field: u32, more: u64) -> u64 {
        word + (more << (field * self.unit_bits))
    }

    /// Returns the number before so many numbers of units.
    pub(super) const fn before(&self, word: u64, fields: u32) -> u64 {
        word >> (fields * self.unit_bits)
    }

    /// Returns how many numbers of units fit into so many bits.
    pub(super) const fn fields(&self, bits: u32) -> u32 {
        bits / self.unit_bits
    }

    /// A number, and numbers of units behind it; `None` if one does not fit.
    pub(super) fn join(&self, first: u64, units: &[u64]) -> Option<u64> {
        if units.len() as u32 * self.unit_bits >= BITS {
            return None;
        }
        let joined = units.iter().try_fold(u128::from(first), |joined, units| {
            let fits = units >> self.unit_bits == 0;
            fits.then_some(joined << self.unit_bits | u128::from(*units))
        })?;
        fits(u64::try_from(joined).ok()?)
    }

    #[inline]
    fn debt(&self, Grains(grains): Grains) -> Debt {
        Debt::new(&self.quota, u128::from(grains) * u128::from(self.grain))
    }

    fn grains_ahead(&self, word: u64, now: Timestamp, origin: Timestamp) -> Grains {
        // A clock that stands before the origin has stepped back.
        Grains(word.saturating_sub(self.grains_at(now, origin).unwrap_or(0)))
    }

    fn grains_at(&self, now: Timestamp, origin: Timestamp) -> Option<u64> {
        now.as_micros().checked_sub(origin.as_micros())?.checked_mul(self.per_micro)
    }
}

fn fits(word: u64) -> Option<u64> {
    (word < MAX_WORD).then_some(word)
}

const fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

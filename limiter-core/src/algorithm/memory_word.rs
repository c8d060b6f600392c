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

use super::{
    AlgorithmUsage, Arithmetic, Segments, State, Usage, Wait, algorithm_usage, by_algorithm,
    gcra::{Debt, wait_time},
};
use crate::{
    quota::{Algorithm, Quota},
    time::Timestamp,
};

/// The bits of a word.
const BITS: u32 = 56;

/// The largest word. It stands for no usage.
pub(crate) const MAX_WORD: u64 = (1 << BITS) - 1;

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

/// A check of one counter, decided by its word.
pub(crate) struct WordCheck {
    pub(crate) wait: Wait,
    /// The word to write, where something is charged.
    pub(crate) charged: Option<u64>,
}

/// A check of a counter by `gcra`: numbers of a word, so that it stays in registers.
pub(crate) struct GcraCheck {
    /// The debt without the cost, and with it.
    pub(crate) before: Grains,
    pub(crate) after: Grains,
    pub(crate) wait: Wait,
    /// The word to write, where something is charged.
    pub(crate) charged: Option<u64>,
}

/// A debt in the grain of a quota.
#[derive(Clone, Copy)]
pub(crate) struct Grains(u64);

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

    /// Checks `cost` units against a word of this quota, and charges them if they fit.
    /// `None` where the usage has no word then.
    #[inline]
    pub(crate) fn check(
        &self,
        word: u64,
        cost: u64,
        now: Timestamp,
        origin: Timestamp,
    ) -> Option<WordCheck> {
        if self.is_gcra() {
            let GcraCheck { wait, charged, .. } = self.check_gcra(word, cost, now, origin)?;
            return Some(WordCheck { wait, charged });
        }
        let usage = self.unpack::<Segments>(word, now, origin);
        let wait = usage.wait(cost);
        if wait != Wait::None || cost == 0 {
            return Some(WordCheck { wait, charged: None });
        }
        Some(WordCheck { wait, charged: Some(self.pack(&usage.charge(cost), origin)?) })
    }

    /// Checks by the [rule](wait_time) of `gcra` in grains: numbers of 64 bits and, if it passes, no
    /// division.
    #[inline]
    pub(crate) fn check_gcra(
        &self,
        word: u64,
        cost: u64,
        now: Timestamp,
        origin: Timestamp,
    ) -> Option<GcraCheck> {
        let elapsed = self.grains_at(now, origin)?;
        let before = wait_time::believed(word.saturating_sub(elapsed), self.bucket);
        let after = fits(before.checked_add(cost.checked_mul(self.per_unit)?)?)?;
        let wait = if cost > self.quota.burst() {
            Wait::Never
        } else {
            wait_time::wait(after, self.bucket, self.per_micro)
        };
        let (before, after, word) = (Grains(before), Grains(after), elapsed.checked_add(after)?);
        let is_charged = wait == Wait::None && cost > 0;
        let charged = if is_charged { Some(fits(word)?) } else { None };
        Some(GcraCheck { before, after, wait, charged })
    }

    /// Returns the usage of a word of this quota at `now`.
    #[inline]
    pub(crate) fn unpack<S: Arithmetic>(
        &self,
        word: u64,
        now: Timestamp,
        origin: Timestamp,
    ) -> Usage<S> {
        let quota = self.quota;
        let used = algorithm_usage!(quota, S, of_word(self, word, now, origin));
        Usage { quota, now, used }
    }

    #[inline]
    pub(crate) fn is_gcra(&self) -> bool {
        self.quota.algorithm() == Algorithm::Gcra
    }

    /// Returns the usage of a quota by `gcra` that has that debt.
    #[inline]
    pub(crate) fn usage_of_debt<S>(&self, debt: Grains, now: Timestamp) -> Usage<S> {
        Usage { quota: self.quota, now, used: AlgorithmUsage::Gcra(self.debt(debt)) }
    }

    /// Returns true if at most a fifth of the bucket is left beside that debt.
    #[inline]
    pub(crate) const fn is_near_limit(&self, debt: Grains) -> bool {
        debt.0 > self.far_from_limit
    }

    /// Returns the same as a state, which a quota of other numbers can read.
    pub(crate) fn state(&self, word: u64, now: Timestamp, origin: Timestamp) -> Option<State> {
        if self.is_gcra() {
            let debt = self.debt(self.grains_ahead(word, now, origin));
            return debt.state_of_burst(self.quota.burst(), now);
        }
        self.unpack::<Segments>(word, now, origin).state()
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

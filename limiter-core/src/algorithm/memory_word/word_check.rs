//! A check of one counter by its word, in numbers that stay in registers: a [`Usage`] that is
//! unpacked, charged and packed again is moved at each step, which took a third of a check.

use super::{WordEncoding, fits};
use crate::{
    algorithm::{AlgorithmUsage, Arithmetic, Usage, Wait, Window, Windows, gcra::wait_time},
    quota::Algorithm,
    time::Timestamp,
};

/// A check of one counter, decided by its word.
pub(crate) struct WordCheck<U> {
    /// The usage without the cost, and with it.
    pub(crate) before: U,
    pub(crate) after: U,
    pub(crate) wait: Wait,
    /// The word to write, where something is charged.
    pub(crate) charged: Option<u64>,
}

/// The usage of a quota by one key at one instant, as its word says.
pub(crate) trait WordUsage: Copy {
    const ALGORITHM: Algorithm;

    /// Checks `cost` units against the word of a quota by this algorithm, or against no usage,
    /// and charges them if they fit. `None` where the usage has no word then.
    fn check(
        encoding: &WordEncoding,
        word: Option<u64>,
        cost: u64,
        now: Timestamp,
        origin: Timestamp,
    ) -> Option<WordCheck<Self>>;

    /// Returns the usage of that quota.
    fn usage<S>(self, encoding: &WordEncoding, now: Timestamp) -> Usage<S>;

    /// Returns true if at most a fifth of what can be used at once is left.
    fn is_near_limit(self, encoding: &WordEncoding, now: Timestamp) -> bool;
}

/// A debt in the grain of a quota by `gcra`.
#[derive(Clone, Copy)]
pub(crate) struct Grains(pub(super) u64);

impl WordUsage for Grains {
    const ALGORITHM: Algorithm = Algorithm::Gcra;

    /// Checks by the [rule](wait_time) of `gcra` in grains: numbers of 64 bits and, if it
    /// passes, no division.
    #[allow(clippy::inline_always, reason = "see the module")]
    #[inline(always)]
    fn check(
        encoding: &WordEncoding,
        word: Option<u64>,
        cost: u64,
        now: Timestamp,
        origin: Timestamp,
    ) -> Option<WordCheck<Self>> {
        let elapsed = encoding.grains_at(now, origin)?;
        // An arrival time of long ago is no usage.
        let ahead = word.unwrap_or(0).saturating_sub(elapsed);
        let before = wait_time::believed(ahead, encoding.bucket);
        let after = before.checked_add(cost.checked_mul(encoding.per_unit)?)?;
        let (mut wait, mut charged) = (Wait::None, None);
        if after <= encoding.bucket {
            if cost > 0 {
                charged = Some(fits(elapsed.checked_add(after)?)?);
            }
        } else if cost > encoding.quota.burst() {
            wait = Wait::Never;
        } else {
            wait = wait_time::wait(fits(after)?, encoding.bucket, encoding.per_micro);
        }
        let (before, after) = (Self(before), Self(after));
        Some(WordCheck { before, after, wait, charged })
    }

    #[inline]
    fn usage<S>(self, encoding: &WordEncoding, now: Timestamp) -> Usage<S> {
        let used = AlgorithmUsage::Gcra(encoding.debt(self));
        Usage { quota: encoding.quota, now, used }
    }

    #[inline]
    fn is_near_limit(self, encoding: &WordEncoding, _: Timestamp) -> bool {
        self.0 > encoding.far_from_limit
    }
}

/// The words of a window.
macro_rules! window_in_a_word {
    ($window:ty, $algorithm:ident) => {
        impl WordUsage for $window {
            const ALGORITHM: Algorithm = Algorithm::$algorithm;

            #[allow(clippy::inline_always, reason = "see the module")]
            #[inline(always)]
            fn check(
                encoding: &WordEncoding,
                word: Option<u64>,
                cost: u64,
                now: Timestamp,
                origin: Timestamp,
            ) -> Option<WordCheck<Self>> {
                check_window(encoding, word, cost, now, origin)
            }

            #[inline]
            fn usage<S>(self, encoding: &WordEncoding, now: Timestamp) -> Usage<S> {
                Usage { quota: encoding.quota, now, used: AlgorithmUsage::$algorithm(self) }
            }

            #[inline]
            fn is_near_limit(
                self,
                WordEncoding { quota, .. }: &WordEncoding,
                now: Timestamp,
            ) -> bool {
                self.remaining(quota, now).saturating_mul(5) <= quota.limit()
            }
        }
    };
}

window_in_a_word!(Window, FixedWindow);
window_in_a_word!(Windows, SlidingWindow);

#[allow(clippy::inline_always, reason = "see the module")]
#[inline(always)]
fn check_window<A: Arithmetic + Copy>(
    encoding: &WordEncoding,
    word: Option<u64>,
    cost: u64,
    now: Timestamp,
    origin: Timestamp,
) -> Option<WordCheck<A>> {
    let quota = &encoding.quota;
    let before = match word {
        Some(word) => A::of_word(encoding, word, now, origin),
        None => A::at(quota, None, now),
    };
    let mut after = before;
    after.charge(quota, now, cost);
    let wait = if cost > quota.burst() { Wait::Never } else { before.wait(quota, now, cost) };
    let is_charged = wait == Wait::None && cost > 0;
    let charged = if !is_charged {
        None
    } else if let Some(word) = word.and_then(|word| before.word_with(encoding, word, cost, origin))
    {
        Some(word)
    } else {
        Some(after.word(encoding, now, origin)?)
    };
    Some(WordCheck { before, after, wait, charged })
}

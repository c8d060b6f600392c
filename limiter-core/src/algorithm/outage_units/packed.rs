//! Packed usage: the outage usage of a quota in parts of five numbers, of which a
//! million keys can be kept.
//!
//! ```text
//! usage = units state
//! state = tat fraction latest limit  gcra: latest is that of a bucket that was full,
//!                                    limit that which all of it was noted with
//!       | the numbers of a State     the others
//! ```
//! Zeros fill the last part.

use super::{super::of_algorithm, QuotaUsage};
use crate::{
    algorithm::{Counting, Numbers},
    quota::Quota,
};

/// A part of the usage of one quota, without the quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PackedUsage([u64; PART]);

/// The numbers of a part.
const PART: usize = 5;

impl QuotaUsage {
    /// Returns the parts: as many as [`parts`](Self::parts) says of the quota.
    pub(crate) fn packed(&self) -> impl Iterator<Item = PackedUsage> {
        let state = of_algorithm!(self.quota, A => A::pack_share(self));
        let parts = Self::parts(&self.quota);
        let mut numbers = std::iter::once(self.units).chain(state).chain(std::iter::repeat(0));
        (0..parts)
            .map(move |_| PackedUsage(std::array::from_fn(|_| numbers.next().unwrap_or_default())))
    }

    /// Returns the usage of as many parts as its quota has.
    pub(crate) fn unpack(quota: Quota, parts: &mut impl Iterator<Item = PackedUsage>) -> Self {
        let numbers: Numbers = parts.take(Self::parts(&quota)).flat_map(|part| part.0).collect();
        let (units, state) = numbers.split_first().unwrap_or((&0, &[]));
        of_algorithm!(quota, A => A::unpack_share(quota, *units, state))
    }

    /// Returns how many parts the usage of a quota has.
    fn parts(quota: &Quota) -> usize {
        (1 + of_algorithm!(quota, A => A::max_share_numbers(quota))).div_ceil(PART)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        algorithm::QuotaUsage,
        quota::{Algorithm, Quota},
        time::Timestamp,
    };

    fn repack(usage: &QuotaUsage) -> QuotaUsage {
        QuotaUsage::unpack(*usage.quota(), &mut usage.packed())
    }

    #[test]
    fn packed_usage_is_the_same_usage() {
        let algorithms = Quota::new(7, std::time::Duration::from_secs(60)).unwrap();
        for algorithm in Algorithm::ALL {
            let quota = algorithms.with_algorithm(*algorithm).unwrap();
            let mut usage = QuotaUsage::new(quota);
            let mut now = Timestamp::from_micros(1_700_000_000_000_000);
            assert_eq!(repack(&usage), usage);
            for cost in [1, 2, 5, 1, 100] {
                usage.charge(cost, now);
                let mut unpacked = repack(&usage);
                assert!(unpacked.packed().eq(usage.packed()), "{algorithm:?}");
                assert_eq!(unpacked.level(now), usage.level(now), "{algorithm:?}");
                now = now.after_micros(9_000_001);
                unpacked.charge(1, now);
                let mut charged = usage.clone();
                charged.charge(1, now);
                assert_eq!(unpacked.level(now), charged.level(now), "{algorithm:?}");
            }
        }
    }
}

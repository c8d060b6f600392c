//! The ids of a policy's quotas: [`QuotaId`].

use sha2::{Digest, Sha256};

use crate::{
    algorithm::max_numbers,
    quota::{Algorithm, Quota, Quotas},
};

/// Identifies what a key has used of one quota among all that a store keeps of the key
/// for a policy.
///
/// It follows from the algorithm, the window with its start, and the segments, and is the
/// same in every process. The limit and the burst are no part of it: a changed limit
/// keeps what was used. So a policy that gets one quota more keeps the usage of the others.
/// The ids of one policy differ: two quotas of one window and algorithm are told apart by
/// their order.
///
/// ```text
/// id = 1 0 | algorithm: 2 bits | digest: 20 | numbers of a state at most: 8 |
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QuotaId(u32);

const MARK: u32 = 0b10 << 30;
const DIGEST: u32 = 0x000f_ffff;

#[cfg_attr(
    not(feature = "_shared"),
    allow(dead_code, reason = "the memory store reads no state of an unknown quota")
)]
impl QuotaId {
    /// The id of strikes, which are counted by a sliding window. No digest is 0.
    pub(crate) const STRIKES: Self =
        Self(MARK | (Algorithm::SlidingWindow as u32) << 28 | STRIKE_NUMBERS);

    /// Returns the id of the `nth` quota of that window and algorithm.
    fn of(quota: &Quota, nth: u8) -> Self {
        let mut digest = Sha256::new();
        digest.update([nth, quota.segments()]);
        digest.update(quota.window_micros().to_be_bytes());
        if let Some(start) = quota.start_micros() {
            digest.update(start.to_be_bytes());
        }
        let digest =
            digest.finalize()[..4].iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
        let numbers = u32::try_from(max_numbers(quota)).unwrap_or(u32::MAX) & 0xff;
        Self(MARK | (quota.algorithm() as u32) << 28 | (digest & DIGEST).max(1) << 8 | numbers)
    }

    /// Returns the id of that number; `None` if it is the number of none.
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        if number >> 30 == MARK >> 30 { Some(Self(number)) } else { None }
    }

    /// The id as a number, at least `2^31` and below `3 * 2^30`.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Returns the algorithm of the quota.
    pub(crate) fn algorithm(self) -> Algorithm {
        Algorithm::ALL[(self.0 >> 28 & 3) as usize]
    }

    /// Returns how many numbers a state of the quota has at most.
    #[cfg(any(feature = "redis", test))]
    pub(crate) const fn numbers(self) -> usize {
        (self.0 & 0xff) as usize
    }

    /// Returns the id of the only quota of a policy, by gcra with that window.
    #[cfg(feature = "_sql")]
    pub(crate) fn of_gcra(window: std::time::Duration) -> Option<Self> {
        Some(Self::of(&Quota::new(1, window).ok()?, 0))
    }
}

const STRIKE_NUMBERS: u32 = 3;

/// Returns the ids of quotas, in their order.
pub(super) fn quota_ids(quotas: &Quotas) -> Box<[QuotaId]> {
    let mut ids = Vec::with_capacity(quotas.len());
    for quota in quotas.iter() {
        // There are fewer quotas than numbers to try.
        let id = (0..=u8::MAX).map(|nth| QuotaId::of(quota, nth)).find(|id| !ids.contains(id));
        ids.extend(id);
    }
    ids.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(quotas: &str) -> Vec<QuotaId> {
        quota_ids(&quotas.parse().unwrap()).into()
    }

    #[test]
    fn an_id_is_of_the_window_and_not_of_the_limit() {
        let [second, hour] = ids("5/second; 100/hour")[..] else { panic!() };
        assert_eq!(ids("7/second burst 20"), [second]);
        assert_eq!(ids("1/minute; 3/hour")[1], hour);
        assert_ne!(second, hour);
        // The second one of a window has an id of its own, whatever its limit.
        let [one, other] = ids("5/second burst 9; 100/second")[..] else { panic!() };
        assert!(one == second && other != second);
    }

    #[test]
    fn an_id_says_how_a_state_is_read() {
        for algorithm in Algorithm::ALL {
            let quotas = "5/second".parse::<Quotas>().unwrap().with_algorithm(*algorithm).unwrap();
            let id = quota_ids(&quotas)[0];
            assert_eq!((id.algorithm(), id.numbers()), (*algorithm, max_numbers(&quotas[0])));
            assert_eq!(QuotaId::from_number(id.number()), Some(id));
            assert_ne!(id, QuotaId::STRIKES);
        }
        let day = "5/day from midnight UTC; 5/day from 01:00 UTC";
        assert_ne!(ids(day)[0], ids(day)[1]);
        assert_eq!((QuotaId::from_number(0), QuotaId::from_number(u32::MAX)), (None, None));
    }
}

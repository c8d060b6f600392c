//! Packed usage: the outage usage of a quota in four numbers, of which a million keys
//! can be kept.

use super::{QuotaUsage, State};
use crate::quota::{Algorithm, Quota};

/// The units of one quota, without the quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PackedUsage {
    units: u64,
    /// Of a bucket whole microseconds and fraction of the arrival time, and whole
    /// microseconds of the latest one; of a window start and units; of sliding windows
    /// start, current and previous units.
    numbers: [u64; 3],
}

impl QuotaUsage {
    /// Drops the fraction of a microsecond of the latest arrival time, which only tells
    /// full buckets apart.
    pub(crate) fn packed(&self) -> PackedUsage {
        let latest = match self.most {
            Some(State::Gcra { tat, .. }) => tat,
            _ => 0,
        };
        let numbers = match self.state {
            Some(State::Gcra { tat, fraction, .. }) => [tat, fraction, latest],
            Some(State::FixedWindow { start, used }) => [start, used, 0],
            Some(State::SlidingWindow { start, current, previous }) => [start, current, previous],
            None => [0, 0, latest],
        };
        PackedUsage { units: self.units, numbers }
    }

    pub(crate) fn unpack(quota: Quota, packed: PackedUsage) -> Self {
        let PackedUsage { units, numbers: [one, two, three] } = packed;
        let bucket = |tat: u64, fraction: u64| {
            let (limit, burst) = (quota.limit(), quota.burst());
            (tat > 0).then_some(State::Gcra { tat, fraction, limit, burst })
        };
        let (state, most) = match quota.algorithm() {
            Algorithm::Gcra => (bucket(one, two), bucket(three, 0)),
            Algorithm::FixedWindow => {
                ((two > 0).then_some(State::FixedWindow { start: one, used: two }), None)
            }
            Algorithm::SlidingWindow => {
                let (start, current, previous) = (one, two, three);
                let is_used = current > 0 || previous > 0;
                (is_used.then_some(State::SlidingWindow { start, current, previous }), None)
            }
        };
        Self { quota, units, state, most }
    }
}

#[cfg(test)]
mod tests {
    use crate::{algorithm::QuotaUsage, quota::Quota, time::Timestamp};

    #[test]
    fn packed_usage_is_the_same_usage() {
        let algorithms = Quota::new(7, std::time::Duration::from_secs(60)).unwrap();
        for algorithm in ["gcra", "fixed_window", "sliding_window"] {
            let quota = algorithms.with_algorithm(algorithm.parse().unwrap()).unwrap();
            let mut usage = QuotaUsage::new(quota);
            let mut now = Timestamp::from_micros(1_700_000_000_000_000);
            assert_eq!(QuotaUsage::unpack(quota, usage.packed()), usage);
            for cost in [1, 2, 5, 1, 100] {
                usage.charge(cost, now);
                let mut unpacked = QuotaUsage::unpack(quota, usage.packed());
                assert_eq!(unpacked.packed(), usage.packed(), "{algorithm}");
                assert_eq!(unpacked.level(now), usage.level(now), "{algorithm}");
                now = now.after_micros(9_000_001);
                unpacked.charge(1, now);
                let mut charged = usage;
                charged.charge(1, now);
                assert_eq!(unpacked.level(now), charged.level(now), "{algorithm}");
            }
        }
    }
}

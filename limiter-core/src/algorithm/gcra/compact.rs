//! An arrival time in one word.
//!
//! All that a quota ever charges or pays back is a multiple of the greatest
//! common divisor of its window and its limit. In units of that, the arrival
//! time is whole, and one number holds it exactly: `window / limit = p / q`,
//! so a unit of the quota is `p` and a microsecond `q` of them.

use super::Debt;
use crate::{
    algorithm::{AlgorithmUsage, State, Usage},
    quota::Quota,
    time::Timestamp,
};

/// By which numbers a quota's arrival times are one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CompactTat {
    /// In `1 / limit` microseconds.
    unit: u64,
    per_micro: u64,
}

impl CompactTat {
    pub(crate) fn of(quota: &Quota) -> Self {
        let (mut unit, mut rest) = (quota.window_micros(), quota.limit());
        while rest > 0 {
            (unit, rest) = (rest, unit % rest);
        }
        Self { unit, per_micro: quota.limit() / unit }
    }

    /// The arrival time of a level, if it fits: in units since `origin`, below
    /// 2^63. `None` of other algorithms as well, where nothing is used, and where
    /// a change of the limit has left a debt that is no multiple.
    #[inline]
    pub(crate) fn pack(self, level: &Usage, origin: Timestamp) -> Option<u64> {
        let AlgorithmUsage::Gcra(bucket) = level.used else { return None };
        let debt = u64::try_from(bucket.debt()).ok().filter(|debt| *debt > 0)?;
        let units = debt / self.unit;
        let arrival = self.now(level.now, origin)?.checked_add(units)?;
        (units * self.unit == debt && arrival >> 63 == 0).then_some(arrival)
    }

    /// The level of an arrival time that `quota` has [packed](Self::pack).
    #[inline]
    pub(crate) fn unpack(
        self,
        arrival: u64,
        quota: &Quota,
        now: Timestamp,
        origin: Timestamp,
    ) -> Usage {
        let debt = self.debt(arrival, now, origin);
        let used = AlgorithmUsage::Gcra(Debt::bounded(quota, debt, quota.burst()));
        Usage { quota: *quota, now, used }
    }

    /// The same as a state, for a quota of other numbers.
    pub(crate) fn state(
        self,
        arrival: u64,
        quota: &Quota,
        now: Timestamp,
        origin: Timestamp,
    ) -> Option<State> {
        Debt::new(quota, self.debt(arrival, now, origin)).state(quota, now)
    }

    fn debt(self, arrival: u64, now: Timestamp, origin: Timestamp) -> u128 {
        // A clock that stands before the origin has stepped back.
        let ahead = arrival.saturating_sub(self.now(now, origin).unwrap_or(0));
        u128::from(ahead) * u128::from(self.unit)
    }

    fn now(self, now: Timestamp, origin: Timestamp) -> Option<u64> {
        now.as_micros().checked_sub(origin.as_micros())?.checked_mul(self.per_micro)
    }
}

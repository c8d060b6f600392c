//! The generic cell rate algorithm (ITU-T I.371), as a token bucket.
//!
//! Each unit pushes the theoretical arrival time `window / limit` further into
//! the future; a request passes while that time stays within `burst` units of
//! now. `window / limit` need not be whole, so the debt is counted in units of
//! `1 / limit` microseconds, in which one unit of the quota is exactly
//! `window`, and one microsecond pays back exactly `limit`.

mod debt;
pub(super) mod wait_time;

pub(super) use self::debt::Debt;
use self::debt::{MAX_LEAD, capacity, cost_of};
#[cfg(feature = "memory")]
use super::Numbers;
use super::{Arithmetic, Counting, Mark, QuotaUsage, State, Wait, div_ceil, div_rem};
#[cfg(feature = "memory")]
use super::{Ring, UsageBound, WordEncoding};
use crate::{quota::Quota, time::Timestamp};

/// Returns the debt that a share adds to a bucket that has one of its own.
fn added(quota: &Quota, share: &QuotaUsage, their_now: Timestamp) -> Debt {
    let most = Debt::at(quota, share.most.clone(), their_now);
    Debt::of(quota, share.units).min(most).min(Debt::full(quota))
}

impl Debt {
    /// Returns the state that a quota of that burst has left: whoever reads it bounds it.
    /// A limit that was cut to a millionth may leave more than [`MAX_LEAD`], which counts as
    /// [`MAX_LEAD`].
    pub(super) fn state_of_burst(self, burst: u64, now: Timestamp) -> Option<State> {
        let limit = self.rate();
        let (whole, fraction) = div_rem(self.debt(), limit);
        let (whole, fraction) = (whole, fraction).min((MAX_LEAD, 0));
        let tat = now.as_micros().saturating_add(whole);
        (self.debt() > 0).then_some(State::Gcra { tat, fraction, limit, burst })
    }
}

impl Arithmetic for Debt {
    fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        let Some(State::Gcra { tat, fraction, limit, burst }) = state else {
            return Self::new(quota, 0);
        };
        let now = now.as_micros();
        if tat < now || tat - now > MAX_LEAD || limit == 0 {
            return Self::new(quota, 0);
        }
        let debt = u128::from(tat - now) * u128::from(limit) + u128::from(fraction);
        Self::bounded(quota, debt, burst).at_rate(limit)
    }

    fn state(&self, quota: &Quota, now: Timestamp) -> Option<State> {
        self.state_of_burst(self.burst_to_keep(quota), now)
    }

    #[inline]
    fn wait(&self, quota: &Quota, _: Timestamp, cost: u64) -> Wait {
        wait_time::wait(self.debt() + cost_of(quota, cost), capacity(quota), self.rate())
    }

    #[inline]
    fn charge(&mut self, quota: &Quota, _: Timestamp, cost: u64) {
        *self = Self::new(quota, self.debt() + cost_of(quota, cost));
    }

    fn remaining(&self, quota: &Quota, _: Timestamp) -> u64 {
        let free = capacity(quota).saturating_sub(self.debt());
        div_rem(free, quota.window_micros()).0
    }

    fn reset_after(&self, _: &Quota, _: Timestamp) -> u64 {
        div_ceil(self.debt(), self.rate())
    }

    /// The arrival time behind them, at the quota's own rate, at which they are given back.
    fn mark(&self, quota: &Quota, now: Timestamp) -> Mark {
        let (whole, fraction) = div_rem(self.debt(), quota.limit());
        Mark { fraction, ..Mark::at(now.as_micros().saturating_add(whole)) }
    }

    #[cfg(feature = "memory")]
    fn word(&self, encoding: &WordEncoding, now: Timestamp, origin: Timestamp) -> Option<u64> {
        encoding.word_of_debt(*self, now, origin)
    }

    #[cfg(feature = "memory")]
    #[inline]
    fn of_word(encoding: &WordEncoding, word: u64, now: Timestamp, origin: Timestamp) -> Self {
        encoding.debt_of_word(word, now, origin)
    }

    /// The end of a debt says how much it is.
    #[cfg(feature = "memory")]
    fn bound(&self, quota: &Quota, now: Timestamp) -> UsageBound {
        let until = now.as_micros().saturating_add(self.reset_after(quota, now));
        UsageBound { used: 0, until }
    }
}

impl Counting for Debt {
    /// At most to [`most`](Self::most), or where it is already.
    fn charge_beyond(&mut self, quota: &Quota, _: Timestamp, units: u64) -> u64 {
        let after = self.debt().saturating_add(cost_of(quota, units));
        let after = after.min(Self::most(quota).debt());
        let more = after.saturating_sub(self.debt());
        if more > 0 {
            *self = Self::new(quota, after);
        }
        div_rem(more, quota.window_micros()).0
    }

    /// Debt is paid back in the order of the charges, and what time has paid back stays
    /// so.
    fn give_back(&mut self, quota: &Quota, now: Timestamp, units: u64, mark: Mark) {
        let left = u128::from(mark.at.saturating_sub(now.as_micros())) * u128::from(quota.limit());
        let fraction = if mark.at < now.as_micros() { 0 } else { mark.fraction };
        let left = (left + u128::from(fraction)).min(cost_of(quota, units)).min(self.debt());
        if left > 0 {
            *self = Self::new(quota, self.debt() - left);
        }
    }

    fn mark_before(quota: &Quota, mark: Mark, units: u64) -> Mark {
        let limit = quota.limit();
        let after = u128::from(mark.at) * u128::from(limit) + u128::from(mark.fraction);
        let (at, fraction) = div_rem(after.saturating_sub(cost_of(quota, units)), limit);
        Mark { fraction, ..Mark::at(at) }
    }

    #[cfg(feature = "memory")]
    fn share_mark(share: &QuotaUsage, units: u64, charged_at: Timestamp) -> Option<Mark> {
        let at = Self::of(&share.quota, units).mark(&share.quota, charged_at).at;
        Some(Mark::at(at))
    }

    /// The debt with the units [added] on top, and the debt of the share alone in
    /// any case, up to a full bucket: had every unit been charged here, the arrival time
    /// would be the later of both.
    fn add_share(&mut self, quota: &Quota, _: Timestamp, share: &QuotaUsage, their_now: Timestamp) {
        let least = Self::at(quota, share.state.clone(), their_now);
        let on_top = match self.debt() {
            0 => *self,
            _ => self.plus(quota, added(quota, share, their_now)),
        };
        let debt = (*self).max(on_top.max(least).min(Self::full(quota)));
        *self = debt.at_rate(quota.limit());
    }

    /// The arrival time, and whole microseconds of the latest one: its fraction only
    /// tells full buckets apart.
    #[cfg(feature = "memory")]
    fn pack_share(share: &QuotaUsage) -> Numbers {
        let latest = match share.most {
            Some(State::Gcra { tat, .. }) => tat,
            _ => 0,
        };
        let (tat, fraction) = match share.state {
            Some(State::Gcra { tat, fraction, .. }) => (tat, fraction),
            _ => (0, 0),
        };
        [tat, fraction, latest, share.quota.limit()].into_iter().collect()
    }

    #[cfg(feature = "memory")]
    fn unpack_share(quota: Quota, units: u64, numbers: &[u64]) -> QuotaUsage {
        let at = |place: usize| numbers.get(place).copied().unwrap_or(0);
        let bucket = |tat: u64, fraction: u64| {
            let limit = at(3);
            // A burst that is not kept: no debt is too large for it, and it is charged up
            // to a full bucket.
            let burst =
                if limit == quota.limit() { quota.burst() } else { crate::quota::MAX_UNITS };
            (tat > 0).then_some(State::Gcra { tat, fraction, limit, burst })
        };
        QuotaUsage { quota, units, state: bucket(at(0), at(1)), most: bucket(at(2), 0) }
    }

    #[cfg(feature = "memory")]
    fn max_share_numbers(_: &Quota) -> usize {
        4
    }

    /// The cost of the check, a full bucket, and the most debt that is believed (two
    /// buckets).
    #[cfg(feature = "redis")]
    fn script_params(quota: &Quota, cost: u64) -> [u64; 6] {
        let burst = u128::from(quota.burst());
        let [cost, full, most] =
            [cost.into(), burst, 2 * burst].map(|units| units_as_debt(quota, units));
        [cost[0], cost[1], full[0], full[1], most[0], most[1]]
    }

    #[cfg(feature = "redis")]
    fn settlement_params(quota: &Quota, units: u64) -> [[u64; 2]; 2] {
        [units_as_debt(quota, units.into()), Self::most(quota).parts(quota)]
    }

    #[cfg(feature = "memory")]
    fn from_bound(quota: &Quota, bound: UsageBound, now: Timestamp) -> State {
        // A full bucket may end within a microsecond: without the fraction, the key would be
        // admitted so much too early.
        let (limit, burst) = (quota.limit(), quota.burst());
        let (whole, fraction) = drain(quota);
        let full = (now.as_micros().saturating_add(whole), fraction);
        let (tat, fraction) = full.min((bound.until, 0));
        State::Gcra { tat, fraction, limit, burst }
    }

    #[cfg(feature = "memory")]
    fn ring(quota: &Quota) -> Ring {
        Ring { tick: (drain(quota).0 + 1).div_ceil(13), ticks: 15, levels: 1 }
    }
}

/// Returns the microseconds in which a full bucket drains, and the rest in `1 / limit` of one:
/// what a displaced key is remembered to have used is at most that.
#[cfg(feature = "memory")]
fn drain(quota: &Quota) -> (u64, u64) {
    let (whole, fraction) = div_rem(capacity(quota), quota.limit());
    (whole.min(u64::MAX / 2), fraction)
}

/// Returns units as debt: whole microseconds, and the rest in `1 / limit` of one.
#[cfg(feature = "redis")]
fn units_as_debt(quota: &Quota, units: u128) -> [u64; 2] {
    /// The largest integer up to which a double is exact.
    const MAX_EXACT: u128 = 1 << 53;
    let debt = units * u128::from(quota.window_micros());
    let limit = u128::from(quota.limit());
    // A bucket drains within a hundred years, and what costs more than there ever
    // is (`never`) is not looked at.
    [debt / limit, debt % limit].map(|part| part.min(MAX_EXACT) as u64)
}

#[cfg(test)]
mod tests;

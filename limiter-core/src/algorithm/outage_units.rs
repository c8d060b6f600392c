//! Units of one quota that were admitted while the store was away.

#[cfg(feature = "memory")]
mod packed;

#[cfg(feature = "memory")]
pub(crate) use self::packed::PackedUsage;
#[cfg(feature = "memory")]
use super::of_algorithm;
use super::{AlgorithmUsage, Arithmetic, Counting, State, Usage, by_algorithm, gcra::Debt};
use crate::{
    quota::{Algorithm, Quota},
    time::Timestamp,
};

/// Units of one quota that were admitted during an outage, with two bounds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct QuotaUsage {
    pub(super) quota: Quota,
    pub(super) units: u64,
    /// Lower bound: the state of a store that knew of these units alone.
    pub(super) state: Option<State>,
    /// A bucket counts as one that was full before the first of them. No store has more of
    /// them left.
    pub(super) most: Option<State>,
}

impl QuotaUsage {
    pub(crate) const fn new(quota: Quota) -> Self {
        Self { quota, units: 0, state: None, most: None }
    }

    /// Returns the usage that another store takes over: no more than a full count of it.
    #[cfg(feature = "memory")]
    pub(crate) fn of_usage<S: Arithmetic>(usage: &Usage<S>) -> Self {
        Self { state: usage.state(), ..Self::new(*usage.quota()) }
    }

    pub(crate) const fn quota(&self) -> &Quota {
        &self.quota
    }

    #[cfg(feature = "memory")]
    pub(crate) const fn is_unused(&self) -> bool {
        self.units == 0 && self.state.is_none()
    }

    pub(crate) fn charge(&mut self, cost: u64, now: Timestamp) {
        self.raise_most(cost, now);
        self.units = self.units.saturating_add(cost);
        // No more than there is to use: more would look like a clock gone wrong.
        let cost = cost.min(self.quota.burst());
        let level = self.level(now).charge(cost);
        let used = match level.used {
            AlgorithmUsage::Gcra(bucket) => {
                AlgorithmUsage::Gcra(bucket.min(Debt::full(&self.quota)))
            }
            used => used,
        };
        self.state = Usage { used, ..level }.state();
    }

    /// Takes off units that were charged at `charged_at`. Of a bucket they count as the
    /// first ones, which drain first: no more is taken off than is left of them.
    #[cfg(feature = "memory")]
    pub(crate) fn give_back(&mut self, units: u64, charged_at: Timestamp, now: Timestamp) {
        let quota = self.quota;
        if self.state.is_none() {
            return;
        }
        let mark = of_algorithm!(quota, A => A::share_mark(self, units, charged_at));
        let Some(mark) = mark else { return };
        self.state = self.level(now).give_back(units, mark).state();
        let most = Debt::at(&quota, self.most.clone(), now);
        self.most = most.minus(&quota, Debt::of(&quota, units)).state(&quota, now);
        self.units = self.units.saturating_sub(units);
    }

    /// Adds what was admitted later, up to `now`.
    #[cfg(feature = "memory")]
    pub(crate) fn add(&mut self, later: &Self, now: Timestamp) {
        self.state = self.level(now).with_outage_usage(later, now).state();
        self.raise_most(later.units, now);
        self.units = self.units.saturating_add(later.units);
    }

    fn raise_most(&mut self, units: u64, now: Timestamp) {
        let quota = &self.quota;
        if quota.algorithm() != Algorithm::Gcra {
            return;
        }
        let full = Debt::full(quota);
        let before = if self.units == 0 { full } else { Debt::at(quota, self.most.clone(), now) };
        // Two full buckets are as much as ever matters.
        let most = before.plus(quota, Debt::of(quota, units)).min(full.plus(quota, full));
        self.most = most.state(quota, now);
    }

    fn level(&self, now: Timestamp) -> Usage {
        Usage::at(self.quota, self.state.clone(), now)
    }
}

impl Usage {
    /// The level with what was admitted elsewhere on top, up to the limit.
    pub(crate) fn with_outage_usage(mut self, share: &QuotaUsage, their_now: Timestamp) -> Self {
        let (quota, now) = (&self.quota, self.now);
        by_algorithm!(&mut self.used, used => used.add_share(quota, now, share, their_now));
        self
    }
}

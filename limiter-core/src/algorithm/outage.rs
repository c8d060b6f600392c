//! Units of one quota that were admitted while the store was away.

#[cfg(feature = "memory")]
mod packed;

#[cfg(feature = "memory")]
pub(crate) use self::packed::PackedUsage;
use super::{
    AlgorithmUsage, State, Usage, fixed_window::Window, gcra::Debt, sliding_window::Windows,
};
use crate::{
    quota::{Algorithm, Quota},
    time::Timestamp,
};

/// Units of one quota that were admitted during an outage, with two bounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct QuotaUsage {
    quota: Quota,
    units: u64,
    /// Lower bound: the state of a store that knew of these units alone.
    state: Option<State>,
    /// As a bucket that was full before the first of them: no store has more of
    /// them left.
    most: Option<State>,
}

impl QuotaUsage {
    pub(crate) const fn new(quota: Quota) -> Self {
        Self { quota, units: 0, state: None, most: None }
    }

    /// What another store is to take over: no more than a full count of it.
    #[cfg(feature = "memory")]
    pub(crate) fn of_usage(usage: &Usage) -> Self {
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

    /// Adds what was admitted later, up to `now`.
    #[cfg(feature = "memory")]
    pub(crate) fn add(&mut self, later: &Self, now: Timestamp) {
        self.state = self.level(now).with_outage_usage(later, now).state();
        self.raise_most(later.units, now);
        self.units = self.units.saturating_add(later.units);
    }

    /// Four script parameters, as `admin.lua` takes them: of a bucket the debt that
    /// is added and the debt that there is at least, as whole microseconds and a
    /// rest each; of a fixed window the microseconds left and the units; of sliding
    /// ones the units of the current and the one before.
    #[cfg(feature = "redis")]
    pub(crate) fn numbers(&self, now: Timestamp) -> [u64; 4] {
        let quota = &self.quota;
        match self.level(now).used {
            AlgorithmUsage::Gcra(least) => {
                let [a, b] = self.added(now).parts(quota);
                let [c, d] = least.min(Debt::full(quota)).parts(quota);
                [a, b, c, d]
            }
            AlgorithmUsage::FixedWindow(window) => {
                let [left, used] = window.own(quota);
                [left, used, 0, 0]
            }
            AlgorithmUsage::SlidingWindow(windows) => {
                let [current, previous] = windows.used(quota);
                [current, previous, 0, 0]
            }
        }
    }

    fn raise_most(&mut self, units: u64, now: Timestamp) {
        let quota = &self.quota;
        if quota.algorithm() != Algorithm::Gcra {
            return;
        }
        let full = Debt::full(quota);
        let before = if self.units == 0 { full } else { Debt::at(quota, self.most, now) };
        // Two full buckets are as much as ever matters.
        let most = before.plus(quota, Debt::of(quota, units)).min(full.plus(quota, full));
        self.most = most.state(quota, now);
    }

    fn level(&self, now: Timestamp) -> Usage {
        Usage::at(self.quota, self.state, now)
    }

    /// Returns the debt that is added to a bucket on top of its own.
    fn added(&self, now: Timestamp) -> Debt {
        let quota = &self.quota;
        let most = Debt::at(quota, self.most, now);
        Debt::of(quota, self.units).min(most).min(Debt::full(quota))
    }
}

impl Usage {
    /// The level with what was admitted elsewhere on top, up to the limit.
    pub(crate) fn with_outage_usage(self, share: &QuotaUsage, their_now: Timestamp) -> Self {
        let quota = &self.quota;
        let used = match (self.used, share.level(their_now).used) {
            (AlgorithmUsage::Gcra(bucket), AlgorithmUsage::Gcra(least)) => {
                AlgorithmUsage::Gcra(bucket.with_outage_usage(quota, share.added(their_now), least))
            }
            (AlgorithmUsage::FixedWindow(window), AlgorithmUsage::FixedWindow(outage_usage)) => {
                AlgorithmUsage::FixedWindow(Window::with_outage_usage(window, quota, outage_usage))
            }
            (
                AlgorithmUsage::SlidingWindow(windows),
                AlgorithmUsage::SlidingWindow(outage_usage),
            ) => AlgorithmUsage::SlidingWindow(Windows::with_outage_usage(
                windows,
                quota,
                outage_usage,
            )),
            (used, _) => used,
        };
        Self { used, ..self }
    }
}

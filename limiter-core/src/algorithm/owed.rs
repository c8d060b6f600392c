//! What was admitted while the store was away, and is charged to it afterwards.

use smallvec::SmallVec;

use super::{Level, State, Used, fixed_window::Window, gcra::Bucket, sliding_window::Windows};
use crate::{
    policy::Policy,
    quota::Quota,
    time::{Timestamp, micros},
};

/// What one key owes one policy: units admitted without its store, and the ban
/// that was brought meanwhile.
///
/// All of it is told relative to an instant of the clock that admitted, so that
/// the store's clock may be another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owed {
    now: Timestamp,
    quotas: SmallVec<[Share; 1]>,
    ban: Option<Timestamp>,
}

/// What one quota is owed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Share {
    quota: Quota,
    units: u64,
    /// When the first of them was admitted.
    since: Timestamp,
    /// As a store would have kept it that knew of these units alone.
    state: Option<State>,
}

impl Owed {
    /// Nothing as yet.
    #[must_use]
    pub fn new(policy: &Policy, now: Timestamp) -> Self {
        let share = |quota: &Quota| Share { quota: *quota, units: 0, since: now, state: None };
        Self { now, quotas: policy.quotas().iter().map(share).collect(), ban: None }
    }

    /// Notes units that were admitted at `now`.
    pub fn charge(&mut self, cost: u64, now: Timestamp) {
        self.now = now;
        self.quotas.iter_mut().for_each(|share| share.charge(cost, now));
    }

    /// Notes a ban that was brought.
    pub fn ban_until(&mut self, until: Timestamp) {
        self.ban = self.ban.max(Some(until));
    }

    /// With what was admitted since.
    #[cfg(feature = "memory")]
    pub(crate) fn and(mut self, later: Self) -> Self {
        for (share, more) in self.quotas.iter_mut().zip(&later.quotas) {
            share.state = share.level(later.now).with_owed(more, later.now).state();
            share.units = share.units.saturating_add(more.units);
        }
        Self { now: later.now, ban: self.ban.max(later.ban), ..self }
    }

    #[cfg(feature = "memory")]
    pub(crate) const fn banned_until(&self) -> Option<Timestamp> {
        self.ban
    }

    /// The same, told at a later instant of the same clock.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// How much longer the ban lasts, if one was brought that still holds.
    pub(crate) fn ban_left(&self) -> Option<std::time::Duration> {
        let left = self.ban?.since(self.now);
        (!left.is_zero()).then_some(left)
    }

    /// The levels of a store, with what they are owed charged.
    pub(crate) fn charged_to(&self, levels: &[Level]) -> SmallVec<[Level; 1]> {
        let share = |quota: &Quota| self.quotas.iter().find(|share| share.quota == *quota);
        let charged = |level: &Level| match share(level.quota()) {
            Some(share) => level.with_owed(share, self.now),
            None => *level,
        };
        levels.iter().map(charged).collect()
    }

    /// For each quota four numbers, as `decide.lua` takes them: of a bucket the
    /// debt that is added and the debt that there is at least, as whole
    /// microseconds and a rest each; of a fixed window the microseconds left
    /// and the units; of sliding ones the units of the current and the one
    /// before.
    #[cfg(feature = "redis")]
    pub(crate) fn numbers(&self) -> impl Iterator<Item = [u64; 4]> + '_ {
        self.quotas.iter().map(|share| {
            let quota = &share.quota;
            match share.level(self.now).used {
                Used::Gcra(least) => {
                    let [a, b] = share.added(self.now).parts(quota);
                    let [c, d] = least.min(Bucket::full(quota)).parts(quota);
                    [a, b, c, d]
                }
                Used::FixedWindow(window) => {
                    let [left, used] = window.own(quota);
                    [left, used, 0, 0]
                }
                Used::SlidingWindow(windows) => {
                    let [current, previous] = windows.used(quota);
                    [current, previous, 0, 0]
                }
            }
        })
    }
}

impl Share {
    fn charge(&mut self, cost: u64, now: Timestamp) {
        self.units = self.units.saturating_add(cost);
        // No more than there is to use: more would look like a clock gone wrong.
        let cost = cost.min(self.quota.burst());
        let level = self.level(now).charge(cost);
        let used = match level.used {
            Used::Gcra(bucket) => Used::Gcra(bucket.min(Bucket::full(&self.quota))),
            used => used,
        };
        self.state = Level { used, ..level }.state();
    }

    fn level(&self, now: Timestamp) -> Level {
        Level::at(self.quota, self.state, now)
    }

    /// What a bucket gets on top of the debt that it has: a full bucket at the
    /// first of the units and all of them would have drained to that.
    fn added(&self, now: Timestamp) -> Bucket {
        let quota = &self.quota;
        let units = Bucket::of(quota, self.units);
        let most = Bucket::full(quota).plus(units).drained(quota, micros(now.since(self.since)));
        units.min(most).min(Bucket::full(quota))
    }
}

impl Level {
    /// The level with what was admitted elsewhere on top, as if all of it had
    /// been charged here, up to the limit.
    fn with_owed(self, share: &Share, their_now: Timestamp) -> Self {
        let quota = &self.quota;
        let used = match (self.used, share.level(their_now).used) {
            (Used::Gcra(bucket), Used::Gcra(least)) => {
                Used::Gcra(bucket.owing(quota, share.added(their_now), least))
            }
            (Used::FixedWindow(window), Used::FixedWindow(owed)) => {
                Used::FixedWindow(Window::owing(window, quota, owed))
            }
            (Used::SlidingWindow(windows), Used::SlidingWindow(owed)) => {
                Used::SlidingWindow(Windows::owing(windows, quota, owed))
            }
            (used, _) => used,
        };
        Self { used, ..self }
    }
}

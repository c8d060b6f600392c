//! What was admitted while the store was away, and is charged to it afterwards.

use smallvec::SmallVec;

use super::{Level, State, Used, fixed_window::Window, gcra::Bucket, sliding_window::Windows};
use crate::{
    ban::Ban,
    policy::Policy,
    quota::{Algorithm, Quota},
    time::Timestamp,
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
    ban: Option<Ban>,
}

/// What one quota is owed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Share {
    quota: Quota,
    units: u64,
    /// As a store would have kept it that knew of these units alone.
    state: Option<State>,
    /// As a bucket that was full before the first of them: no store has more of
    /// them left.
    most: Option<State>,
}

impl Owed {
    /// Nothing as yet.
    #[must_use]
    pub fn new(policy: &Policy, now: Timestamp) -> Self {
        let share = |quota: &Quota| Share { quota: *quota, units: 0, state: None, most: None };
        Self { now, quotas: policy.quotas().iter().map(share).collect(), ban: None }
    }

    /// Notes units that were admitted at `now`.
    pub fn charge(&mut self, cost: u64, now: Timestamp) {
        self.now = now;
        self.quotas.iter_mut().for_each(|share| share.charge(cost, now));
    }

    /// Notes a ban that was brought.
    pub fn ban(&mut self, ban: Ban) {
        self.ban = later_ban(self.ban, Some(ban));
    }

    /// With what was admitted since.
    #[cfg(feature = "memory")]
    pub(crate) fn and(mut self, later: Self) -> Self {
        for (share, more) in self.quotas.iter_mut().zip(&later.quotas) {
            share.state = share.level(later.now).with_owed(more, later.now).state();
            share.raise_most(more.units, later.now);
            share.units = share.units.saturating_add(more.units);
        }
        Self { now: later.now, ban: later_ban(self.ban, later.ban), ..self }
    }

    #[cfg(feature = "memory")]
    pub(crate) const fn the_ban(&self) -> Option<Ban> {
        self.ban
    }

    /// The same, told at a later instant of the same clock.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// How much longer the ban lasts, if one was brought that still holds, and
    /// how long it was when it began, in microseconds.
    pub(crate) fn ban_left(&self) -> Option<(u64, u64)> {
        let ban = self.ban.filter(|ban| ban.holds(self.now))?;
        Some((ban.until.micros_since(self.now), ban.duration))
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

    /// For each quota four numbers, as `by_hand.lua` takes them: of a bucket the
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

/// The one that ends later.
fn later_ban(one: Option<Ban>, other: Option<Ban>) -> Option<Ban> {
    one.into_iter().chain(other).max_by_key(|ban| ban.until)
}

impl Share {
    fn charge(&mut self, cost: u64, now: Timestamp) {
        self.raise_most(cost, now);
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

    fn raise_most(&mut self, units: u64, now: Timestamp) {
        let quota = &self.quota;
        if quota.algorithm() != Algorithm::Gcra {
            return;
        }
        let full = Bucket::full(quota);
        let before = if self.units == 0 { full } else { Bucket::at(quota, self.most, now) };
        // Two full buckets are as much as ever matters.
        let most = before.plus(Bucket::of(quota, units)).min(full.plus(full));
        self.most = most.state(quota, now);
    }

    fn level(&self, now: Timestamp) -> Level {
        Level::at(self.quota, self.state, now)
    }

    /// What a bucket gets on top of the debt that it has.
    fn added(&self, now: Timestamp) -> Bucket {
        let quota = &self.quota;
        let most = Bucket::at(quota, self.most, now);
        Bucket::of(quota, self.units).min(most).min(Bucket::full(quota))
    }
}

impl Level {
    /// The level with what was admitted elsewhere on top, up to the limit.
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

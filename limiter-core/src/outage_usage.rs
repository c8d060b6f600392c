//! Outage usage: units admitted while the store was away, charged to it afterwards.

#[cfg(feature = "memory")]
use crate::{
    algorithm::{Arithmetic, PackedUsage},
    policy::QuotaId,
};
use crate::{
    algorithm::{QuotaUsage, Usage},
    ban::Ban,
    policy::Policy,
    quota::Quota,
    short_list::ShortList,
    time::Timestamp,
};

/// The units that one policy has admitted to one key without its store, and the ban that
/// was brought meanwhile.
///
/// All of it is relative to an instant of the clock that admitted, so that the store's
/// clock may be another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutageUsage {
    now: Timestamp,
    quotas: ShortList<QuotaUsage>,
    ban: Option<Ban>,
}

impl OutageUsage {
    /// Returns no usage.
    #[must_use]
    pub fn new(policy: &Policy, now: Timestamp) -> Self {
        let quotas = policy.quotas().iter().map(|quota| QuotaUsage::new(*quota)).collect();
        Self { now, quotas, ban: None }
    }

    /// The usage of quotas as it is at `now`, to be taken over by another store.
    #[cfg(feature = "memory")]
    pub(crate) fn of_usages<S: Arithmetic>(usages: &[Usage<S>], now: Timestamp) -> Self {
        Self { now, quotas: usages.iter().map(QuotaUsage::of_usage).collect(), ban: None }
    }

    /// Notes units that were admitted at `now`.
    pub fn charge(&mut self, cost: u64, now: Timestamp) {
        self.now = now;
        self.quotas.iter_mut().for_each(|share| share.charge(cost, now));
    }

    /// Takes off units that were admitted at `charged_at`: those that are still there.
    #[cfg(feature = "memory")]
    pub(crate) fn give_back(&mut self, units: u64, charged_at: Timestamp, now: Timestamp) {
        self.now = now;
        self.quotas.iter_mut().for_each(|share| share.give_back(units, charged_at, now));
    }

    /// Notes a ban that was brought.
    pub fn ban(&mut self, ban: Ban) {
        self.ban = later_ban(self.ban, Some(ban));
    }

    /// With what was admitted since.
    #[cfg(feature = "memory")]
    pub(crate) fn and(mut self, later: Self) -> Self {
        for (share, more) in self.quotas.iter_mut().zip(&later.quotas) {
            share.add(more, later.now);
        }
        Self { now: later.now, ban: later_ban(self.ban, later.ban), ..self }
    }

    /// Returns true if there are no units.
    #[cfg(feature = "memory")]
    pub(crate) fn is_unused(&self) -> bool {
        self.quotas.iter().all(QuotaUsage::is_unused)
    }

    /// The parts of the units of each of the policy's quotas, without the quota.
    #[cfg(feature = "memory")]
    pub(crate) fn packed(&self, policy: &Policy) -> impl Iterator<Item = (QuotaId, PackedUsage)> {
        let quotas = policy.quota_ids().iter().zip(&self.quotas);
        quotas.flat_map(|(id, usage)| usage.packed().map(|part| (*id, part)))
    }

    /// The reverse, for a policy that may have other quotas than the one whose usage was
    /// packed.
    #[cfg(feature = "memory")]
    pub(crate) fn unpack(
        policy: &Policy,
        packed: impl Iterator<Item = (QuotaId, PackedUsage)> + Clone,
        now: Timestamp,
    ) -> Self {
        let unpack = |(quota, id): (&Quota, &QuotaId)| {
            let own = packed.clone().filter(|(of, _)| of == id);
            QuotaUsage::unpack(*quota, &mut own.map(|(_, part)| part))
        };
        let quotas = policy.quotas().iter().zip(policy.quota_ids()).map(unpack).collect();
        Self { now, quotas, ban: None }
    }

    #[cfg(feature = "memory")]
    pub(crate) const fn the_ban(&self) -> Option<Ban> {
        self.ban
    }

    /// Returns the same usage at a later instant of the same clock.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// Returns the ban that was brought, if it still holds, as it ends by a clock at
    /// `now`.
    pub(crate) fn ban_at(&self, now: Timestamp) -> Option<Ban> {
        let ban = self.ban.filter(|ban| ban.holds(self.now))?;
        Some(Ban { until: now.after_micros(ban.until.micros_since(self.now)), ..ban })
    }

    /// Returns the usage that a store has, with this charged.
    pub(crate) fn charged_to(&self, levels: &[Usage]) -> ShortList<Usage> {
        let share = |quota: &Quota| self.quotas.iter().find(|share| share.quota() == quota);
        let charged = |level: &Usage| match share(level.quota()) {
            Some(share) => level.clone().with_outage_usage(share, self.now),
            None => level.clone(),
        };
        levels.iter().map(charged).collect()
    }
}

/// The one that ends later.
fn later_ban(one: Option<Ban>, other: Option<Ban>) -> Option<Ban> {
    one.into_iter().chain(other).max_by_key(|ban| ban.until)
}

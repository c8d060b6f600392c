//! The input of a decision: policies, their subjects and a cost.

#[cfg(feature = "memory")]
use crate::ban::BanRule;
use crate::{key::Key, outage_usage::OutageUsage, policy::Policy};

/// The key that one policy counts in one request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject {
    /// The key.
    pub key: Key,
    bannable: Bannable,
}

/// True or false in a whole word, as all of a subject is whole words: see `KeyBytes`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
enum Bannable {
    No,
    Yes,
}

impl Subject {
    /// Returns the subject of a key that may be banned.
    #[inline]
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self { key, bannable: Bannable::Yes }
    }

    /// Returns the same subject, which may be banned or not. Where not, no strike counts and no
    /// ban holds.
    #[inline]
    #[must_use]
    pub fn with_bannable(self, bannable: bool) -> Self {
        Self { bannable: if bannable { Bannable::Yes } else { Bannable::No }, ..self }
    }

    /// Returns true if it may be banned.
    #[inline]
    #[must_use]
    pub const fn is_bannable(&self) -> bool {
        matches!(self.bannable, Bannable::Yes)
    }
}

/// One policy to ask for one subject.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The key that it counts.
    pub subject: &'a Subject,
}

/// A request to decide: all policies together, each for the subject at the
/// same position, at one cost.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    policies: &'a [Policy],
    subjects: &'a [Subject],
    cost: u64,
    outage_usage: &'a [Option<OutageUsage>],
}

impl<'a> Check<'a> {
    /// A check that takes `cost` units of each quota; 0 looks without writing.
    ///
    /// # Panics
    /// If there are not as many subjects as policies.
    #[must_use]
    pub fn new(policies: &'a [Policy], subjects: &'a [Subject], cost: u64) -> Self {
        assert_eq!(policies.len(), subjects.len(), "each policy needs its subject");
        Self { policies, subjects, cost, outage_usage: &[] }
    }

    /// The same check, with what was admitted before, while the store was away:
    /// one entry an item.
    #[must_use]
    pub const fn with_outage_usage(self, outage_usage: &'a [Option<OutageUsage>]) -> Self {
        Self { outage_usage, ..self }
    }

    /// Units that the request takes of each quota.
    #[must_use]
    pub const fn cost(&self) -> u64 {
        self.cost
    }

    /// Each policy with its subject.
    #[must_use]
    pub fn items(&self) -> impl ExactSizeIterator<Item = Item<'a>> + Clone + use<'a> {
        let pairs = self.policies.iter().zip(self.subjects);
        pairs.map(|(policy, subject)| Item { policy, subject })
    }

    /// Returns true if the fast paths of the memory store may decide it.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        self.outage_usage.is_empty()
            && self.policies.iter().all(|policy| policy.counters().is_simple)
    }

    /// The policies, in the order of the items.
    #[cfg(feature = "memory")]
    pub(crate) const fn policies(&self) -> &'a [Policy] {
        self.policies
    }

    /// The only item, if there is but one.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn only_item(&self) -> Option<Item<'a>> {
        let ([policy], [subject]) = (self.policies, self.subjects) else { return None };
        Some(Item { policy, subject })
    }

    /// The item at a position.
    pub(crate) fn item(&self, position: usize) -> Item<'a> {
        Item { policy: &self.policies[position], subject: &self.subjects[position] }
    }

    /// Returns the outage usage to be charged before anything is decided: the positions
    /// of items, the items, and the usage of each.
    pub fn outage_usage(
        &self,
    ) -> impl Iterator<Item = (usize, Item<'a>, &'a OutageUsage)> + use<'a> {
        let items = self.items().zip(self.outage_usage).enumerate();
        items.filter_map(|(at, (item, outage_usage))| Some((at, item, outage_usage.as_ref()?)))
    }

    /// The items that a response of that status strikes: those whose rule
    /// names it and whose subject may be banned, each offender once.
    #[must_use]
    pub fn offenders(&self, status: u16) -> Vec<Item<'a>> {
        let mut offenders: Vec<Item<'a>> = Vec::new();
        for item in self.items() {
            let strikes = item.policy.ban().is_some_and(|rule| rule.strikes_on(status));
            let met = offenders.iter().any(|other| other.is_same_offender(&item));
            if strikes && item.subject.is_bannable() && !met {
                offenders.push(item);
            }
        }
        offenders
    }
}

impl Item<'_> {
    /// Returns true if its policy bans, and its subject may be banned.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn may_be_banned(&self) -> bool {
        self.subject.is_bannable() && self.policy.ban().is_some()
    }

    /// Returns true if its refusal may be a strike.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn may_strike(&self) -> bool {
        self.subject.is_bannable() && self.policy.ban().is_some_and(BanRule::strikes_on_refusal)
    }

    /// Returns true if both strike and ban the same: one policy or group, and one key.
    pub(crate) fn is_same_offender(&self, other: &Self) -> bool {
        self.policy.namespaces().bans == other.policy.namespaces().bans
            && self.subject.key == other.subject.key
    }
}

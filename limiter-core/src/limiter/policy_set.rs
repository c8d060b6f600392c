//! One or several policies that a request is checked against together.

mod current;

use std::sync::{Arc, OnceLock, RwLock};

pub(super) use self::current::Origin;
use super::{Fallback, Inner, Limiter, plans::DerivedCache, rules::Rules};
use crate::{
    check::Subject,
    decision::{Decision, QuotaStatus},
    key::Key,
    policy::Policy,
    quota::Quotas,
    request::Subjects,
    response::{Fields, ratelimit_headers::SetTexts},
    short_list::ShortList,
    stats::counters::PolicyCounters,
};

/// Policies that are decided together, from [`Limiter::policy`] or
/// [`Limiter::policies`]. Clones share everything.
///
/// A set is of the rules in force when it was made: after a reload
/// [`current`](Self::current) returns the one to use.
#[derive(Clone, Debug)]
pub struct PolicySet(Arc<Set>);

#[derive(Debug)]
struct Set {
    limiter: Limiter,
    rules: Arc<Rules>,
    origin: Arc<Origin>,
    /// Without those that are off.
    policies: Vec<Policy>,
    /// True for each requested policy that is in `policies`.
    is_on: Vec<bool>,
    /// The counters of each policy.
    counters: ShortList<Arc<PolicyCounters>>,
    texts: Arc<SetTexts>,
    /// True if one of the policies counts by user.
    counts_users: bool,
    /// True if one of the policies counts reserved strikes.
    reserves: bool,
    /// True if the status of a response matters to one of the policies.
    has_outcomes: bool,
    /// The policies by which slices are charged; empty if one has no lease.
    #[cfg(feature = "_shared")]
    slice_policies: Box<[Policy]>,
    /// The set that counts CORS preflights, made when first needed.
    preflights: OnceLock<PolicySet>,
    /// The sets with other quotas for the policy at each position.
    plans: OnceLock<Box<[DerivedCache<Quotas, PolicySet>]>>,
    /// The newest set, if this one is not.
    latest: RwLock<Option<PolicySet>>,
}

impl PolicySet {
    /// Returns the sets with other quotas for the policy at that position.
    pub(super) fn plans(&self, position: usize) -> &DerivedCache<Quotas, Self> {
        let plans = || self.0.policies.iter().map(|_| DerivedCache::default()).collect();
        &self.0.plans.get_or_init(plans)[position]
    }

    /// The same policies with counters of their own, for CORS preflights.
    pub(super) fn for_preflights(&self) -> &Self {
        self.0.preflights.get_or_init(|| {
            let policies = self.0.policies.iter().map(Policy::for_preflights).collect();
            self.of_part(policies)
        })
    }

    #[inline]
    pub(super) fn counters(&self) -> &[Arc<PolicyCounters>] {
        &self.0.counters
    }

    pub(super) fn counts_users(&self) -> bool {
        self.0.counts_users
    }

    /// Returns true if one of the policies counts reserved strikes.
    pub(super) fn reserves(&self) -> bool {
        self.0.reserves
    }

    /// Returns true if all policies have leases that this limiter takes.
    #[cfg(feature = "_shared")]
    pub(super) fn has_lease(&self) -> bool {
        !self.0.slice_policies.is_empty()
    }

    /// Returns the policies by which slices are charged, if there are leases.
    #[cfg(feature = "_shared")]
    pub(super) fn slice_policies(&self) -> &[Policy] {
        &self.0.slice_policies
    }

    /// Returns true if a response of that status changes what a policy has charged or may give
    /// back, or strikes.
    #[inline]
    pub(super) fn settles(&self, status: u16) -> bool {
        self.0.has_outcomes && self.has_outcome(status)
    }

    fn has_outcome(&self, status: u16) -> bool {
        self.0.policies.iter().any(|policy| {
            !policy.counts(status)
                || policy.counts_for_good(status)
                || policy.ban().is_some_and(|rule| rule.strikes_on(status))
        })
    }

    pub(super) fn texts(&self) -> &Arc<SetTexts> {
        &self.0.texts
    }

    /// The policies that are not off, in the order asked. A policy whose key has a header is
    /// followed by its companion that counts the address, and one whose ban rule
    /// [reserves](crate::BanRule::with_reserve) by the one that counts what is reserved.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.0.policies
    }

    /// The limiter that these policies are of.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// Subjects that all are that key, whatever the policies say.
    #[inline]
    #[must_use]
    pub fn subjects_of(&self, key: &Key) -> Subjects {
        self.inner().note_given_keys();
        // By the set's own rules, as a request; the newest ones would take a lock.
        let bannable = self.0.rules.identity.is_bannable(key);
        let subject = || Subject::new(key.clone()).with_bannable(bannable);
        match &self.0.policies[..] {
            [_] => ShortList::of_one(subject()),
            policies => ShortList::of_many(policies.iter().map(|_| subject()).collect()),
        }
    }

    /// The subjects without those of policies that are off.
    pub(super) fn active(&self, subjects: Subjects) -> Subjects {
        if subjects.len() != self.0.is_on.len() || self.0.is_on.len() == self.0.policies.len() {
            return subjects;
        }
        let is_on = self.0.is_on.iter();
        subjects.into_iter().zip(is_on).filter_map(|(one, is_on)| is_on.then_some(one)).collect()
    }

    /// The header fields that show the client a decision, as each policy's
    /// style says. Names are in lower case.
    #[must_use]
    pub fn fields(&self, decision: &Decision) -> Fields<'_> {
        Fields::collect(|write| self.texts().write_fields(decision, 0, write))
    }

    /// The value of the `ratelimit-policy` field, which is the same in all
    /// responses that have it.
    #[must_use]
    pub fn policy_field(&self) -> Option<&str> {
        self.texts().policy_field()
    }

    /// The name under which a quota is sent to clients: the policy's, with the
    /// window behind it where the policy has several quotas (`api.1h`).
    #[must_use]
    pub fn quota_name(&self, status: &QuotaStatus) -> &str {
        self.texts().quota_name(status)
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.0.rules
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0.limiter.0
    }

    pub(super) fn fallback(&self) -> &Fallback {
        &self.inner().fallback
    }
}

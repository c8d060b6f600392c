//! Policy sets after a reload: how a set is made from rules, and found again in others.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::{PolicySet, Set};
use crate::{
    error::UnknownPolicy,
    key::KeyPart,
    limiter::{Limiter, Permit, rules::Rules},
    policy::{Mode, Policy},
    quota::Quotas,
    response::ratelimit_headers::SetTexts,
};

/// The names and plans that a set was made for, by which it is found again in other
/// rules.
#[derive(Debug)]
pub(in crate::limiter) struct Origin {
    names: Vec<String>,
    plans: Vec<Plan>,
}

/// The quotas that a policy has been given.
#[derive(Clone, Debug)]
struct Plan {
    policy: String,
    quotas: Quotas,
}

impl Origin {
    pub(in crate::limiter) fn of(names: Vec<&str>) -> Self {
        Self { names: names.into_iter().map(str::to_owned).collect(), plans: Vec::new() }
    }
}

impl PolicySet {
    /// Returns the set of those names in these rules.
    pub(in crate::limiter) fn find(
        limiter: Limiter,
        rules: Arc<Rules>,
        origin: Origin,
    ) -> Result<Self, UnknownPolicy> {
        let policies = rules.find_all(origin.names.iter().map(String::as_str))?;
        let is_on: Vec<_> = policies.iter().map(|policy| policy.mode() != Mode::Off).collect();
        let on = policies.into_iter().filter(|policy| policy.mode() != Mode::Off).collect();
        let Origin { names, plans } = origin;
        let origin = Arc::new(Origin { names, plans: Vec::new() });
        let set = Self::of(limiter, rules, origin, on, is_on);
        plans.iter().try_fold(set, |set, plan| set.with_quotas(&plan.policy, &plan.quotas))
    }

    fn of(
        limiter: Limiter,
        rules: Arc<Rules>,
        origin: Arc<Origin>,
        policies: Vec<Policy>,
        is_on: Vec<bool>,
    ) -> Self {
        let texts = Arc::new(SetTexts::new(&policies));
        let counts_users =
            policies.iter().any(|policy| policy.key().parts().contains(&KeyPart::User));
        let counters = &limiter.0.counters;
        let counters = policies.iter().map(|policy| counters.of_policy(policy.reported_name()));
        let counters = counters.collect();
        let reserves = policies.iter().any(Policy::is_reservation);
        let has_outcomes = policies.iter().any(Policy::has_outcomes);
        #[cfg(feature = "_shared")]
        let slice_policies = match policies.iter().all(Policy::is_leased) {
            true => policies.iter().map(Policy::for_slices).collect(),
            false => Box::default(),
        };
        Self(Arc::new(Set {
            limiter,
            rules,
            origin,
            policies,
            is_on,
            counters,
            texts,
            counts_users,
            reserves,
            has_outcomes,
            #[cfg(feature = "_shared")]
            slice_policies,
            preflights: OnceLock::new(),
            plans: OnceLock::new(),
            latest: RwLock::default(),
        }))
    }

    /// Returns a set of the same rules with these policies, none of which is off.
    pub(in crate::limiter) fn of_part(&self, policies: Vec<Policy>) -> Self {
        let is_on = policies.iter().map(|_| true).collect();
        let Set { limiter, rules, origin, .. } = &*self.0;
        Self::of(limiter.clone(), Arc::clone(rules), Arc::clone(origin), policies, is_on)
    }

    /// Returns the set with these policies in place of its own, in which one has been
    /// given those quotas.
    pub(in crate::limiter) fn with_plan(
        &self,
        policies: Vec<Policy>,
        policy: &str,
        quotas: &Quotas,
    ) -> Self {
        let Set { limiter, rules, origin, is_on, .. } = &*self.0;
        let plan = Plan { policy: policy.to_owned(), quotas: quotas.clone() };
        let mut plans = origin.plans.clone();
        plans.retain(|other| other.policy != plan.policy);
        plans.push(plan);
        let origin = Arc::new(Origin { names: origin.names.clone(), plans });
        Self::of(limiter.clone(), Arc::clone(rules), origin, policies, is_on.clone())
    }

    /// Returns true unless a reload has changed the limiter's rules since the set was
    /// made. It takes one relaxed load.
    #[inline]
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.inner().rules.are(&self.0.rules)
    }

    /// Returns the set by the rules in force: this one, or after a reload the newest.
    ///
    /// [`admit`](Self::admit) and [`explain`](Self::explain) do so by themselves. Whoever
    /// calls [`check`](Self::check) calls this first, once a request, so that a request
    /// is decided by one state of the rules.
    #[must_use]
    pub fn current(&self) -> Self {
        if self.is_current() { self.clone() } else { self.latest() }
    }

    /// Returns the set by which a request is decided that has got a permit before, if
    /// it is another one: all limits of a request go by the same rules.
    #[inline]
    pub(in crate::limiter) fn for_request(&self, previous: Option<&Permit>) -> Option<Self> {
        match previous {
            None if self.is_current() => None,
            None => Some(self.latest()),
            Some(previous) => self.after(&previous.policies().0),
        }
    }

    fn after(&self, previous: &Set) -> Option<Self> {
        let is_same = Arc::ptr_eq(&previous.rules, &self.0.rules);
        if is_same && self.is_current() {
            return None;
        }
        if previous.limiter != self.0.limiter || !previous.rules.hold_for_requests() {
            return (!self.is_current()).then(|| self.latest());
        }
        if is_same {
            return None;
        }
        Some(self.in_rules(&previous.rules).unwrap_or_else(|_| self.latest()))
    }

    /// Returns the newest set, which is made once a reload.
    #[cold]
    fn latest(&self) -> Self {
        let latest = self.0.latest.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(latest) = latest.filter(Self::is_current) {
            return latest;
        }
        let mut latest = self.0.latest.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = latest.as_ref().filter(|latest| latest.is_current()) {
            return latest.clone();
        }
        // Its policies are in use, so that all rules have them.
        let found = self.in_rules(&self.inner().rules.get()).unwrap_or_else(|_| self.clone());
        latest.insert(found).clone()
    }

    fn in_rules(&self, rules: &Arc<Rules>) -> Result<Self, UnknownPolicy> {
        let Origin { names, plans } = &*self.0.origin;
        let origin = Origin { names: names.clone(), plans: plans.clone() };
        Self::find(self.0.limiter.clone(), Arc::clone(rules), origin)
    }
}

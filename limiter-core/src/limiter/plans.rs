//! Plans: policy sets with the quotas of one request, such as those that its client has
//! paid for.
//!
//! A set is derived once for each plan and then found again, so that equal requests are
//! one and the same policy to the batcher, and its texts are made once. What is found
//! again is bounded: an application that gives each client limits of its own is slower,
//! and warned of, and does not fill the memory.

mod derived_cache;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use self::derived_cache::CAPACITY;
pub(super) use self::derived_cache::DerivedCache;
use super::{Limiter, PolicySet};
use crate::{
    error::UnknownPolicy,
    policy::{Mode, Policy},
    quota::Quotas,
};

/// More new plans than [`CAPACITY`] within this time are warned of.
const WARN_WITHIN: Duration = Duration::from_secs(60);

impl PolicySet {
    /// Returns the set with other quotas for one of its policies: those of one request,
    /// such as by the plan of its client.
    ///
    /// Quotas of the same algorithms and windows count in the same counters: a client
    /// that has used 5 and is then on a plan of 50 has 45 left. With other windows they
    /// have counters of their own. Key, bans, mode, header style and store errors are
    /// the policy's; the count of addresses beside a header is scaled as the policy's
    /// is.
    ///
    /// Limits should be plans, not balances: of each policy 1,000 are found again
    /// quickly, and more within a minute are warned of, once. A policy that is off stays
    /// off.
    ///
    /// ```
    /// use limiter_core::{Key, Limiter, Policy, Quotas};
    ///
    /// # futures_executor::block_on(async {
    /// let limiter = Limiter::builder().policy(Policy::new("api", "5/hour")?).build().await?;
    /// let (free, pro) = (limiter.policy("api")?, "50/hour".parse::<Quotas>()?);
    /// let client = limiter.subjects([Key::user("alice")]);
    /// assert!(free.check(&client, 5).await?.is_allowed());
    /// assert!(!free.check(&client, 1).await?.is_allowed());
    ///
    /// let paying = free.with_quotas("api", &pro)?;
    /// assert_eq!(paying.check(&client, 1).await?.quotas()[0].remaining(), 44);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// If the set has no policy of that name.
    pub fn with_quotas(&self, policy: &str, quotas: &Quotas) -> Result<Self, UnknownPolicy> {
        let named = |known: &Policy| known.name() == policy;
        let Some(position) = self.policies().iter().position(named) else {
            return self.if_off(policy);
        };
        if self.policies()[position].quotas() == quotas {
            return Ok(self.clone());
        }
        let plans = self.plans(position);
        Ok(plans
            .get(quotas)
            .unwrap_or_else(|| plans.insert(quotas.clone(), self.derive(position, quotas))))
    }

    /// Checks that the set has a policy, or that the one of that name is off.
    ///
    /// # Errors
    /// If there is none.
    pub fn require(&self, policy: &str) -> Result<(), UnknownPolicy> {
        let is_own = self.policies().iter().any(|known| known.name() == policy);
        if is_own { Ok(()) } else { self.if_off(policy).map(drop) }
    }

    fn if_off(&self, policy: &str) -> Result<Self, UnknownPolicy> {
        let known = self.rules().find(policy)?;
        if known.mode() == Mode::Off {
            return Ok(self.clone());
        }
        let known = self.policies().iter().map(|known| known.name().to_owned()).collect();
        Err(UnknownPolicy { name: policy.to_owned(), known })
    }

    fn derive(&self, position: usize, quotas: &Quotas) -> Self {
        let mut policies = self.policies().to_vec();
        let name = policies[position].name().to_owned();
        let plan = self.limiter().derived(&policies[position], quotas);
        policies[position] = plan.policy;
        // A policy is followed by the one that counts the address beside its header.
        if let Some(companion) = plan.companion {
            policies[position + 1] = companion;
        }
        self.with_plan(policies, &name, quotas)
    }
}

impl Limiter {
    fn derived(&self, policy: &Policy, quotas: &Quotas) -> Plan {
        let plans = &self.0.plans;
        let id = (policy.address(), quotas.clone());
        if let Some(plan) = plans.policies.get(&id) {
            return plan;
        }
        if plans.is_flooded() {
            tracing::warn!(
                policy = policy.name(),
                "more than {CAPACITY} different quotas were given to requests within a minute; \
                 limits should be plans, not balances: charge a cost for each request instead"
            );
        }
        let derived = policy.with_quotas(quotas);
        self.0.fallback.keep_for(&derived);
        let companion = derived.companion();
        plans.policies.insert(id, Plan { policy: derived, companion, _base: policy.clone() })
    }
}

/// The derived policies of a limiter.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// By the address of a policy, which lives as long as its plan, and quotas.
    policies: DerivedCache<(usize, Quotas), Plan>,
    recent: Mutex<Recent>,
}

/// A policy with the quotas of a request, and the one that counts addresses beside it.
#[derive(Clone, Debug)]
struct Plan {
    policy: Policy,
    companion: Option<Policy>,
    _base: Policy,
}

/// How many policies were derived lately.
#[derive(Debug, Default)]
struct Recent {
    since: Option<Instant>,
    count: usize,
    has_warned: bool,
}

impl Plans {
    /// Forgets all of them: they are of policies that a reload has replaced.
    #[cfg(feature = "config")]
    pub(super) fn clear(&self) {
        self.policies.clear();
    }

    /// Counts a policy that is to be derived. Returns true once, if more than
    /// [`CAPACITY`] were within [`WARN_WITHIN`].
    ///
    /// These differ: none is derived again before as many others were used.
    fn is_flooded(&self) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if recent.since.is_none_or(|since| now.duration_since(since) > WARN_WITHIN) {
            (recent.since, recent.count) = (Some(now), 0);
        }
        recent.count += 1;
        let warns = recent.count > CAPACITY && !recent.has_warned;
        recent.has_warned |= warns;
        warns
    }
}

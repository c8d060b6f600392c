//! The counters of a limiter: of each policy, and of what concerns no policy.
//!
//! The set of counters of a policy is found by its name, so that it goes on when a
//! policy is replaced by another of the same name. Names come from the configuration
//! alone: no client can add a set.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{refused_keys::RefusedKeys, sharded::Sharded};
use crate::error::StoreErrorKind;

/// A counter of one policy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PolicyCounter {
    /// Admitted, with more than a fifth of every quota left.
    Allowed,
    /// Admitted, with at most a fifth of one quota left.
    AllowedNearLimit,
    Limited,
    Banned,
    ShadowLimited,
    ShadowBanned,
    Unavailable,
    Uncounted,
    Refunded,
    Strikes,
    ShadowStrikes,
    BansByRefusal,
    BansByResponse,
    BansByHand,
    ShadowBans,
    /// Refusals that are missing in [`RefusedKeys`].
    UnnotedRefusals,
}

/// A counter of the whole limiter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LimiterCounter {
    Blocked,
    AllowListed,
    ExemptEndpoint,
    Unidentified,
    DenyCacheHits,
    LeasedAdmissions,
    FallbackDecisions,
    LostStrikes,
    LostSettlements,
    StoreFailed,
    StoreNotApplied,
    StoreUnavailable,
    StoreOverloaded,
}

impl LimiterCounter {
    pub(crate) const fn of_store_error(kind: StoreErrorKind) -> Self {
        match kind {
            StoreErrorKind::Failed => Self::StoreFailed,
            StoreErrorKind::NotApplied => Self::StoreNotApplied,
            StoreErrorKind::Unavailable => Self::StoreUnavailable,
            StoreErrorKind::Overloaded { .. } => Self::StoreOverloaded,
        }
    }
}

/// The counters of one policy.
#[derive(Debug, Default)]
pub(crate) struct PolicyCounters {
    counts: Sharded<16>,
    pub(crate) refused_keys: RefusedKeys,
}

impl PolicyCounters {
    #[inline]
    pub(crate) fn add(&self, counter: PolicyCounter) {
        self.counts.add(counter as usize, 1);
    }

    pub(crate) fn sum(&self, counter: PolicyCounter) -> u64 {
        self.counts.sum(counter as usize)
    }
}

/// The counters of one limiter.
#[derive(Debug, Default)]
pub(crate) struct LimiterCounters {
    counts: Sharded<16>,
    policies: RwLock<BTreeMap<String, Arc<PolicyCounters>>>,
}

impl LimiterCounters {
    #[inline]
    pub(crate) fn add(&self, counter: LimiterCounter) {
        self.add_many(counter, 1);
    }

    #[inline]
    pub(crate) fn add_many(&self, counter: LimiterCounter, count: u64) {
        self.counts.add(counter as usize, count);
    }

    pub(crate) fn sum(&self, counter: LimiterCounter) -> u64 {
        self.counts.sum(counter as usize)
    }

    /// Returns the counters of the policy of that name, new ones if there are none.
    pub(crate) fn of_policy(&self, name: &str) -> Arc<PolicyCounters> {
        // The map is whole after each change, so a poisoned lock is taken all the same.
        let known = self.policies.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let mut policies = self.policies.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(policies.entry(name.to_owned()).or_default())
        })
    }
}

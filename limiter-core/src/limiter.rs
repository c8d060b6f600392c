//! The front: a [`Limiter`] holds the store and the policies, and hands out
//! [`PolicySet`]s, which are what a request is checked against.
//!
//! ```
//! use limiter_core::{Key, Limiter, ManualClock, MemoryStore, Policy, Quota, Retry, Timestamp};
//! use std::time::Duration;
//!
//! # futures_executor::block_on(async {
//! let clock = ManualClock::new(Timestamp::from_micros(0));
//! let limiter = Limiter::builder()
//!     .store(MemoryStore::builder().clock(clock.clone()).build())
//!     .policy(Policy::new("api", Quota::per_minute(2)?)?)
//!     .build()
//!     .await?;
//!
//! let api = limiter.policy("api")?;
//! let client = limiter.subjects([Key::ip("192.0.2.1".parse()?)]);
//! assert!(api.check(&client, 1).await?.is_allowed());
//! assert!(api.check(&client, 1).await?.is_allowed());
//!
//! let refused = api.check(&client, 1).await?;
//! assert_eq!(refused.retry(), Retry::After(Duration::from_secs(30)));
//! clock.advance(Duration::from_secs(30));
//! assert!(api.check(&client, 1).await?.is_allowed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
#![doc = include_str!("limiter/outages.md")]

mod administration;
mod admission;
mod admit_options;
mod builder;
mod check_all;
#[cfg(feature = "memory")]
mod check_in_memory;
mod check_span;
mod check_steps;
#[cfg(feature = "memory")]
mod deny_cache;
mod explain;
mod fallback;
#[cfg(feature = "memory")]
mod last_seen_usage;
#[cfg(feature = "_shared")]
mod lease;
mod observability;
mod permit;
mod plans;
mod policy_set;
#[cfg(feature = "memory")]
mod reconciliation;
mod record_decision;
#[cfg(feature = "config")]
mod reload;
mod request_ledger;
mod response_outcome;
mod rules;
mod send_settlement;
mod settings;
mod settlement_future;
mod throttled_log;
#[cfg(not(feature = "memory"))]
mod without_memory_store;

use std::{net::IpAddr, sync::Arc};

#[cfg(feature = "config")]
pub use self::reload::Reloaded;
pub use self::{
    admission::Admission,
    admit_options::AdmitOptions,
    builder::LimiterBuilder,
    explain::{
        AnsweredBy, ExplainedAnswer, ExplainedBan, ExplainedClient, ExplainedPolicy,
        ExplainedQuota, ExplainedStrikes, Explanation,
    },
    permit::Permit,
    policy_set::PolicySet,
    settlement_future::Settling,
};
#[cfg(feature = "config")]
pub(crate) use self::{
    reload::{ReadAgain, ReloadMode, SettingTexts},
    settings::RuleSettings,
};
use crate::{
    error::{Error, UnknownPolicy},
    events::Observers,
    exempt_endpoints::Exemptions,
    key::Key,
    limiter::{
        fallback::Fallback,
        plans::Plans,
        policy_set::Origin,
        rules::{CurrentRules, Rules},
        settlement_future::Runtime,
        throttled_log::Reports,
    },
    request::{RequestInfo, Subjects},
    stats::counters::LimiterCounters,
    store::{Health, ServerHealth, Store},
};

/// Clones of one limiter are equal.
impl PartialEq for Limiter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Limiter {}

/// A store, the policies, and what to do when the store fails.
///
/// Clones share everything; make one per process, before the server starts.
/// See the [module docs](self).
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    /// The same, if it is this process's memory.
    #[cfg(feature = "memory")]
    memory: Option<crate::MemoryStore>,
    fallback: Fallback,
    rules: CurrentRules,
    #[cfg(feature = "config")]
    reloading: reload::Reloading,
    /// Settings in code, which stand over each configuration.
    #[cfg(feature = "config")]
    code: settings::CodeSettings,
    reports: Reports,
    counters: Arc<LimiterCounters>,
    #[cfg(feature = "_shared")]
    leases: lease::Leases,
    /// Set once the limiter is built, since it reads the limiter.
    #[cfg(feature = "metrics")]
    publisher: std::sync::OnceLock<crate::metrics::Publisher>,
    observers: Arc<Observers>,
    runtime: Runtime,
    plans: Plans,
}

impl Limiter {
    /// Sets up a limiter in code.
    pub fn builder() -> LimiterBuilder {
        LimiterBuilder::default()
    }

    /// Makes the limiter that a configuration describes.
    ///
    /// # Errors
    /// If its store cannot be reached or set up.
    #[cfg(feature = "config")]
    pub async fn from_config(config: crate::Config) -> Result<Self, crate::ConfigError> {
        LimiterBuilder::from_config(config).build().await
    }

    /// One policy, to check requests against. From now on it is in use: no reload can
    /// remove it.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn policy(&self, name: &str) -> Result<PolicySet, UnknownPolicy> {
        self.policies([name])
    }

    /// Several policies, to check requests against in one decision: a refusal
    /// by one charges none. One named twice counts once.
    ///
    /// # Errors
    /// If one is unknown, or none is given.
    pub fn policies<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<PolicySet, UnknownPolicy> {
        let names: Vec<&str> = names.into_iter().collect();
        let rules = self.0.rules.get_for(names.iter().copied())?;
        PolicySet::find(self.clone(), rules, Origin::of(names))
    }

    /// The names of all policies, sorted.
    #[must_use]
    pub fn policy_names(&self) -> Vec<String> {
        self.rules().policies.keys().cloned().collect()
    }

    /// Returns the endpoints that are exempt from all policies.
    #[must_use]
    pub fn exemptions(&self) -> Exemptions {
        self.rules().identity.exempt.clone()
    }

    /// The key of an address, cut as configured.
    #[must_use]
    pub fn ip_key(&self, address: IpAddr) -> Key {
        self.rules().identity.ip_key(address)
    }

    /// Subjects of keys that the caller has made, one for each policy of the
    /// set to check.
    #[must_use]
    pub fn subjects(&self, keys: impl IntoIterator<Item = Key>) -> Subjects {
        self.0.note_given_keys();
        let rules = self.rules();
        let mut subjects = Subjects::new();
        keys.into_iter().for_each(|key| subjects.push(rules.identity.subject(key)));
        subjects
    }

    /// Returns the health of the store: healthy if all its servers answer, else since when
    /// the first one does not, and why.
    #[must_use]
    pub fn health(&self) -> Health {
        let down = self.server_health().into_iter().map(|server| server.health);
        let since = |health: &Health| match health {
            Health::Healthy => None,
            Health::Degraded { since, .. } => Some(*since),
        };
        down.filter(|health| since(health).is_some()).min_by_key(since).unwrap_or(Health::Healthy)
    }

    /// The health of each server of the store; empty for a store in memory.
    #[must_use]
    pub fn server_health(&self) -> Vec<ServerHealth> {
        self.0.store.health().unwrap_or_default()
    }

    /// The address of a request's client, as `trusted_proxies` and
    /// `client_ip_header` say: what a policy with the key `"ip"` counts, before
    /// IPv6 is cut to a network.
    ///
    /// # Errors
    /// As [`ClientIp::resolve`](crate::ClientIp::resolve).
    pub fn client_ip(&self, request: &dyn RequestInfo) -> Result<IpAddr, Error> {
        self.rules().identity.client_ip(request)
    }

    /// Tells limiters apart.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// The rules in force.
    fn rules(&self) -> Arc<Rules> {
        self.0.rules.get()
    }
}

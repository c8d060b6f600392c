//! Setting up a limiter, in code or from a configuration.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::AtomicBool},
};

use super::{
    Inner, Limiter, fallback::Fallback, plans::Plans, reports::ShadowRefusals, settling::Runtime,
};
use crate::{
    client_ip::ClientIp,
    error::ConfigError,
    events::{Observer, Observers},
    exemptions::Exemptions,
    networks::Networks,
    policy::{Mode, Policy, check_together},
    stats::counters::LimiterCounters,
    store::{
        Store,
        guarded::GuardedStore,
        memory_limits::MemoryLimits,
        select::{HAS_MEMORY, StoreChoice},
    },
    subject_resolver::SubjectResolver,
};

/// Sets up a [`Limiter`].
#[derive(Debug, Default)]
#[must_use]
pub struct LimiterBuilder {
    mode: Mode,
    store: StoreChoice,
    caps: MemoryLimits,
    policies: Vec<Policy>,
    identity: SubjectResolver,
    observers: Observers,
}

impl LimiterBuilder {
    /// Takes over what a configuration says; what is set afterwards, such as
    /// another store, replaces it.
    #[cfg(feature = "config")]
    pub fn from_config(config: crate::Config) -> Self {
        Self {
            mode: config.mode,
            store: config.store,
            caps: config.caps,
            policies: config.policies,
            identity: config.identity,
            observers: Observers::default(),
        }
    }

    /// Sets what all policies do at most: of this and a policy's own
    /// [mode](Policy::with_mode) the more lenient holds. With [`Mode::Off`] no
    /// store is connected to. Defaults to [`Mode::Enforce`].
    pub fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Sets where state lives. Defaults to memory.
    pub fn store(self, store: impl Store) -> Self {
        Self { store: StoreChoice::Given(Arc::new(store)), ..self }
    }

    /// Adds a policy.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// Sets among how many servers each limit is divided while a shared store is
    /// away and each server counts for itself. Defaults to 1: each of n servers
    /// admits the whole limit, all together n times as much. Each admits one
    /// request at least, so that more servers than a limit has units admit more.
    pub const fn local_share(mut self, servers: std::num::NonZero<u32>) -> Self {
        self.caps.local_share = servers.get();
        self
    }

    /// Sets how a client's address is found. Defaults to its peer address.
    pub fn client_ip(mut self, client_ip: ClientIp) -> Self {
        self.identity.client_ip = client_ip;
        self
    }

    /// Sets addresses that are never banned. Defaults to none.
    pub fn never_ban(mut self, networks: Networks) -> Self {
        self.identity.never_ban = networks;
        self
    }

    /// Sets addresses whose requests pass uncounted. Of this list and that of
    /// [`block`](Self::block) the smaller network counts. Defaults to none.
    pub fn allow(mut self, networks: Networks) -> Self {
        self.identity.allow = networks;
        self
    }

    /// Sets addresses whose requests are refused with 403. Defaults to none.
    pub fn block(mut self, networks: Networks) -> Self {
        self.identity.block = networks;
        self
    }

    /// Sets endpoints whose requests pass uncounted and unrefused, whatever the
    /// lists say. Defaults to none.
    pub fn exempt(mut self, endpoints: Exemptions) -> Self {
        self.identity.exempt = endpoints;
        self
    }

    /// Adds an observer of [events](crate::events), refusals left out. Defaults to none
    /// but the log.
    pub fn observer(self, observer: impl Observer) -> Self {
        self.observers.add(Arc::new(observer), false);
        self
    }

    /// Adds an observer of [events](crate::events) that is called for each refused
    /// request, too.
    pub fn refusal_observer(self, observer: impl Observer) -> Self {
        self.observers.add(Arc::new(observer), true);
        self
    }

    /// Makes the limiter.
    ///
    /// It is `async` so that a store can connect, and so that it cannot be
    /// called by mistake where web servers make one application per worker:
    /// each would count for itself.
    ///
    /// # Errors
    /// If the store cannot be reached, or what was set does not fit together: a
    /// policy's name is given twice, a group's policies disagree, a network is
    /// both allowed and blocked.
    pub async fn build(self) -> Result<Limiter, ConfigError> {
        check_together(&self.policies)?;
        let mode = self.mode;
        let policies = self.policies.into_iter().map(|policy| at_most(policy, mode));
        let policies: Vec<_> = policies.collect();
        let is_store_needed = mode != Mode::Off || !HAS_MEMORY;
        let store = if is_store_needed { self.store } else { StoreChoice::Memory };
        let identity = self.identity.checked()?;
        let store = GuardedStore::guard(store.make(self.caps).await?);
        let observers = Arc::new(self.observers);
        let observer: Weak<dyn Observer> = Arc::<Observers>::downgrade(&observers);
        store.observe(observer);
        log_start(&*store, &policies, &identity);
        let limiter = Limiter(Arc::new(Inner {
            #[cfg(feature = "memory")]
            memory: store.as_memory().cloned(),
            store,
            fallback: Fallback::new(&policies, self.caps)?,
            companions: by_name(policies.iter().flat_map(companions)),
            policies: by_name(policies),
            identity,
            warned_of_late_user: AtomicBool::new(false),
            shadow_refusals: ShadowRefusals::default(),
            counters: LimiterCounters::default(),
            observers,
            #[cfg(feature = "metrics")]
            publisher: std::sync::OnceLock::new(),
            runtime: Runtime::current(),
            plans: Plans::default(),
        }));
        #[cfg(feature = "metrics")]
        limiter.start_publisher();
        Ok(limiter)
    }
}

/// The policy in the more lenient of its own mode and `mode`.
fn at_most(policy: Policy, mode: Mode) -> Policy {
    let mode = policy.mode().max(mode);
    policy.with_mode(mode)
}

/// The policies that count beside a policy: addresses, reserved strikes, and preflights of
/// all.
fn companions(policy: &Policy) -> Vec<Policy> {
    let companions = policy.companions();
    let preflights = companions.iter().chain([policy]).map(Policy::for_preflights);
    preflights.chain(companions.iter().cloned()).collect()
}

/// Logs what the limiter does, in one line, and what an operator may not have meant.
fn log_start(store: &dyn Store, policies: &[Policy], identity: &SubjectResolver) {
    for policy in policies {
        if policy.ban().is_some() && policy.key().names_no_client() {
            tracing::warn!(
                policy = policy.name(),
                "bans by this policy refuse all clients at once, since its key names none"
            );
        }
    }
    let servers = store.health().unwrap_or_default();
    let servers: Vec<_> = servers.into_iter().map(|one| one.server).collect();
    let store = if servers.is_empty() { "memory".to_owned() } else { servers.join(", ") };
    let described = policies.iter().map(|policy| {
        let mode = match policy.mode() {
            Mode::Enforce => "",
            mode => mode.as_str(),
        };
        format!("{} {} {mode}", policy.name(), policy.quotas()).trim_end().to_owned()
    });
    let policies = described.collect::<Vec<_>>().join(", ");
    let client = identity.client_ip.to_string();
    tracing::info!(store, policies, client, "the limiter has started");
}

fn by_name(policies: impl IntoIterator<Item = Policy>) -> BTreeMap<String, Policy> {
    policies.into_iter().map(|policy| (policy.name().to_owned(), policy)).collect()
}

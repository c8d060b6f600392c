//! Setting up a limiter, in code or from a configuration.

use std::sync::{Arc, Weak};

#[cfg(feature = "_shared")]
use super::lease::{Leases, warn_of_vain_leases};
#[cfg(feature = "config")]
use super::reload::Reloading;
use super::{
    Inner, Limiter,
    fallback::Fallback,
    plans::Plans,
    rules::{CurrentRules, Rules},
    settings::{CodeSettings, RuleSettings},
    settlement_future::Runtime,
    throttled_log::Reports,
};
#[cfg(feature = "_shared")]
use crate::time::Clock;
use crate::{
    client_ip::ClientIp,
    error::ConfigError,
    events::{AddedObserver, Observer, Observers},
    exempt_endpoints::Exemptions,
    networks::Networks,
    policy::{Mode, Policy},
    store::{
        Store,
        memory_capacity::MemoryLimits,
        store_choice::{HAS_MEMORY, StoreChoice},
        with_circuit_breaker::GuardedStore,
    },
};

/// Sets up a [`Limiter`].
#[derive(Debug, Default)]
#[must_use]
pub struct LimiterBuilder {
    store: StoreChoice,
    caps: MemoryLimits,
    code: CodeSettings,
    observers: Vec<AddedObserver>,
    /// The first text that is none of what it stands for.
    error: Option<ConfigError>,
    /// The clock of this process, which tests set.
    #[cfg(feature = "_shared")]
    pub(super) clock: Option<Arc<dyn Clock>>,
    #[cfg(feature = "config")]
    config: Option<Box<crate::Config>>,
}

impl LimiterBuilder {
    /// Takes over what a configuration says; what is set afterwards, such as
    /// another store, replaces it.
    #[cfg(feature = "config")]
    pub fn from_config(config: crate::Config) -> Self {
        Self {
            store: config.store.clone(),
            caps: config.caps,
            config: Some(Box::new(config)),
            ..Self::default()
        }
    }

    /// Sets what all policies do at most: of this and a policy's own
    /// [mode](Policy::with_mode) the more lenient holds. With [`Mode::Off`] no
    /// store is connected to. Defaults to [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.code.mode = Some(mode);
        self
    }

    /// Sets where state lives. Defaults to memory.
    pub fn store(self, store: impl Store) -> Self {
        Self { store: StoreChoice::Given(Arc::new(store)), ..self }
    }

    /// Adds a policy.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.code.policies.push(policy);
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
        self.code.client_ip = Some(client_ip);
        self
    }

    /// Sets addresses that are never banned: texts such as `"10.0.0.0/8"`, a list of them,
    /// or [`Networks`]. Defaults to none. [`build`](Self::build) returns what is wrong.
    pub fn never_ban(mut self, networks: impl TryInto<Networks, Error: Into<ConfigError>>) -> Self {
        self.code.never_ban = self.read("never_ban", networks);
        self
    }

    /// Sets addresses whose requests pass uncounted, as in [`never_ban`](Self::never_ban). Of
    /// this list and that of [`block`](Self::block) the smaller network counts. Defaults to
    /// none.
    ///
    /// Behind trusted proxies it is the client's address that counts. A proxy's own passes
    /// only requests that come without the header: health checks.
    pub fn allow(mut self, networks: impl TryInto<Networks, Error: Into<ConfigError>>) -> Self {
        self.code.allow = self.read("allow", networks);
        self
    }

    /// Sets addresses whose requests are refused with 403, as in
    /// [`never_ban`](Self::never_ban). Defaults to none.
    pub fn block(mut self, networks: impl TryInto<Networks, Error: Into<ConfigError>>) -> Self {
        self.code.block = self.read("block", networks);
        self
    }

    /// Sets endpoints whose requests pass uncounted and unrefused, whatever the lists say:
    /// `"GET /health"`, a list of such texts, or [`Exemptions`]. Defaults to none.
    /// [`build`](Self::build) returns what is wrong.
    pub fn exempt(mut self, endpoints: impl TryInto<Exemptions, Error: Into<ConfigError>>) -> Self {
        self.code.exempt = self.read("exempt", endpoints);
        self
    }

    /// Returns what a notation stands for, and keeps the first error for `build`.
    fn read<T>(
        &mut self,
        name: &str,
        notation: impl TryInto<T, Error: Into<ConfigError>>,
    ) -> Option<T> {
        let read = notation.try_into().map_err(|error| error.into().within(name));
        read.map_err(|error| self.error.get_or_insert(error)).ok()
    }

    /// Adds an observer of [events](crate::events), refusals left out. Defaults to none
    /// but the log.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(AddedObserver { observer: Arc::new(observer), takes_refusals: false });
        self
    }

    /// Adds an observer of [events](crate::events) that is called for each refused
    /// request, too.
    pub fn refusal_observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(AddedObserver { observer: Arc::new(observer), takes_refusals: true });
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
    pub async fn build(mut self) -> Result<Limiter, ConfigError> {
        self.error.take().map_or(Ok(()), Err)?;
        let settings = self.settings()?;
        let is_store_needed = settings.mode != Mode::Off || !HAS_MEMORY;
        let rules = settings.rules()?;
        let fallback = Fallback::new(rules.policies.values(), self.caps)?;
        #[cfg(feature = "config")]
        let has_store = is_store_needed || matches!(self.store, StoreChoice::Memory);
        let store = if is_store_needed { self.store } else { StoreChoice::Memory };
        let store = GuardedStore::guard(store.make(self.caps).await?);
        let observers = start_observers(self.observers, &*store)?;
        log_start(&*store, &rules);
        let limiter = Limiter(Arc::new(Inner {
            #[cfg(feature = "memory")]
            memory: store.as_memory().cloned(),
            store,
            fallback,
            rules: CurrentRules::new(rules),
            #[cfg(feature = "config")]
            reloading: Reloading::new(self.config.as_deref(), has_store),
            #[cfg(feature = "config")]
            code: self.code,
            reports: Reports::default(),
            counters: Arc::default(),
            #[cfg(feature = "_shared")]
            leases: Leases::new(self.clock),
            observers,
            #[cfg(feature = "metrics")]
            publisher: std::sync::OnceLock::new(),
            runtime: Runtime::current(),
            plans: Plans::default(),
        }));
        #[cfg(feature = "metrics")]
        limiter.start_publisher();
        #[cfg(feature = "config")]
        if self.config.is_some_and(|config| config.is_watched()) {
            limiter.watch();
        }
        Ok(limiter)
    }
}

impl LimiterBuilder {
    /// Returns the settings of the configuration, with those of the code over them.
    fn settings(&mut self) -> Result<RuleSettings, ConfigError> {
        let configured = self.configured()?;
        Ok(self.code.over(configured))
    }

    /// Takes the rules of the configuration out of it.
    #[cfg(feature = "config")]
    fn configured(&mut self) -> Result<RuleSettings, ConfigError> {
        let Some(config) = &mut self.config else { return Ok(RuleSettings::default()) };
        config.read_list_files()?;
        Ok(std::mem::take(&mut config.rules))
    }

    #[cfg(not(feature = "config"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "with the feature it is used")]
    fn configured(&mut self) -> Result<RuleSettings, ConfigError> {
        Ok(RuleSettings::default())
    }
}

/// Starts the observers, and has them observe the store.
fn start_observers(
    added: Vec<AddedObserver>,
    store: &dyn Store,
) -> Result<Arc<Observers>, ConfigError> {
    let observers = Arc::new(Observers::start(added)?);
    let observer: Weak<dyn Observer> = Arc::<Observers>::downgrade(&observers);
    store.observe(observer);
    Ok(observers)
}

/// Logs what the limiter does, in one line, and what an operator may not have meant.
fn log_start(store: &dyn Store, rules: &Rules) {
    let policies = rules.policies.values();
    if rules.policies.is_empty() {
        tracing::warn!(
            "there are no policies: nothing is limited; write one, such as \
                        [policies.api] with quota = \"10/minute\""
        );
    }
    if let Some(warning) = rules.identity.client_ip.misspelt_header() {
        tracing::warn!("{warning}");
    }
    for policy in policies.clone() {
        if policy.ban().is_some() && policy.key().names_no_client() {
            tracing::warn!(
                policy = policy.name(),
                "bans by this policy refuse all clients at once, since its key names none"
            );
        }
    }
    #[cfg(feature = "_shared")]
    warn_of_vain_leases(store, policies.clone());
    let servers = store.health().unwrap_or_default();
    let servers: Vec<_> = servers.into_iter().map(|one| one.server).collect();
    let store = if servers.is_empty() { "memory".to_owned() } else { servers.join(", ") };
    let described = policies.map(|policy| {
        let mode = match policy.mode() {
            Mode::Enforce => "",
            mode => mode.as_str(),
        };
        format!("{} {} {mode}", policy.name(), policy.quotas()).trim_end().to_owned()
    });
    let policies = described.collect::<Vec<_>>().join(", ");
    let client = rules.identity.client_ip.to_string();
    tracing::info!(store, policies, client, "the limiter has started");
}

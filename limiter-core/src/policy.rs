//! A named rule: [`Policy`].
//!
//! ```
//! use std::time::Duration;
//! use limiter_core::{BanRule, OnStoreError, Policy};
//!
//! let minutes = |n: u64| Duration::from_secs(60 * n);
//! let policy = Policy::new("login", "5/minute; 50/day")?
//!     .with_key("ip")?
//!     .with_ban(BanRule::after_strikes(10).within(minutes(10)).for_duration(minutes(10))?)
//!     .with_on_store_error(OnStoreError::Deny);
//! assert_eq!(policy.name(), "login");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod counted_statuses;
mod derived_policies;
mod header_styles;
#[cfg(feature = "memory")]
mod memory_counters;
mod namespaces;
mod options;
mod quota_ids;
mod validate;

#[cfg(feature = "memory")]
use std::hash::{DefaultHasher, Hash, Hasher};
use std::{sync::Arc, time::Duration};

pub use self::header_styles::{HeaderStyle, HeaderStyles};
#[cfg(feature = "memory")]
pub(crate) use self::memory_counters::{CachedId, Counter, CounterSpec, Counters};
pub use self::namespaces::Namespaces;
pub use self::options::{Mode, OnStoreError};
pub use self::quota_ids::QuotaId;
pub(crate) use self::validate::check_together;
use crate::{
    ban::{BanRule, MAX_BAN},
    error::ConfigError,
    key::KeySpec,
    name::check_name,
    quota::{Quota, Quotas},
    response_statuses::CountedStatuses,
};

/// How many header values one address may use up at the quota of one.
const PER_ADDRESS: u64 = 10;

/// A named rule: quotas on one key, and what to do when they are exceeded.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Rule>);

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    name: String,
    quotas: Quotas,
    key: KeySpec,
    ban: Option<BanRule>,
    mode: Mode,
    headers: HeaderStyles,
    on_store_error: OnStoreError,
    counted: CountedStatuses,
    /// True if it counts the reserved strikes of another policy.
    is_reservation: bool,
    per_address: u64,
    lease: bool,
    namespaces: Namespaces,
    quota_ids: Box<[QuotaId]>,
    #[cfg(feature = "memory")]
    counters: Counters,
    #[cfg(feature = "memory")]
    limits: u64,
}

impl Policy {
    /// A policy that counts each client address and enforces `quotas`: a text such
    /// as `"10/minute"`, a [`Quota`], or [`Quotas`].
    ///
    /// # Errors
    /// If the text is no quota, or the name is not 1 to 64 lower-case letters, digits, `-` and `_`,
    /// beginning with a letter. Such a name is a String and a Token of
    /// RFC 9651 alike, so that header drafts may choose.
    pub fn new<Q>(name: &str, quotas: Q) -> Result<Self, ConfigError>
    where
        Q: TryInto<Quotas, Error: Into<ConfigError>>,
    {
        check_name("policy", name)?;
        let quotas = quotas.try_into().map_err(|error| error.into().within(name))?;
        Ok(Self(Arc::new(Rule::new(name, quotas).with_namespaces())))
    }

    /// Sets whom the policy counts: a text such as `"user"` or `"ip + endpoint"`, or a
    /// [`KeySpec`]. Defaults to the client's address.
    ///
    /// # Errors
    /// If the text is no key.
    pub fn with_key<K>(self, key: K) -> Result<Self, ConfigError>
    where
        K: TryInto<KeySpec, Error: Into<ConfigError>>,
    {
        let at = |error: ConfigError| error.within("key").within(self.name());
        let key = key.try_into().map_err(|error| at(error.into()))?;
        Ok(self.with(|rule| rule.key = key))
    }

    /// Bans keys by that rule. Defaults to no bans.
    #[must_use]
    pub fn with_ban(self, ban: BanRule) -> Self {
        self.with(|rule| rule.ban = Some(ban))
    }

    /// Sets whether the policy refuses, only watches, or does nothing. Defaults to [`Mode::Enforce`].
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        self.with(|rule| rule.mode = mode)
    }

    /// Sets the header fields that show the policy to clients: a [`HeaderStyle`], or several,
    /// [`HeaderStyles`]. Defaults to the IETF draft's.
    #[must_use]
    pub fn with_headers(self, headers: impl Into<HeaderStyles>) -> Self {
        let headers = headers.into();
        self.with(|rule| rule.headers = headers)
    }

    /// Sets what happens while the store cannot answer. Defaults to
    /// [`OnStoreError::Local`].
    #[must_use]
    pub fn with_on_store_error(self, on_store_error: OnStoreError) -> Self {
        self.with(|rule| rule.on_store_error = on_store_error)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The quotas, in their canonical order.
    #[must_use]
    pub fn quotas(&self) -> &Quotas {
        &self.0.quotas
    }

    /// Returns the facts that make the policy's key.
    #[must_use]
    pub fn key(&self) -> &KeySpec {
        &self.0.key
    }

    /// The rule of bans, if there is one.
    #[must_use]
    pub fn ban(&self) -> Option<&BanRule> {
        self.0.ban.as_ref()
    }

    /// Returns what the policy does with requests over its limit.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Returns the header fields that show the policy to clients.
    #[must_use]
    pub fn headers(&self) -> HeaderStyles {
        self.0.headers
    }

    /// Returns the fallback while the store cannot answer.
    #[must_use]
    pub fn on_store_error(&self) -> OnStoreError {
        self.0.on_store_error
    }

    /// Returns true if both are one and the same: clones of one policy.
    #[cfg(feature = "_shared")]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns true if both are the same in everything that can be set.
    #[cfg(feature = "config")]
    pub(crate) fn is_equal(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }

    /// Returns the namespaces under which a store keeps the policy's state. Policies of
    /// one name share the counters of quotas that have one id, policies of one group strikes
    /// and bans.
    #[must_use]
    pub fn namespaces(&self) -> Namespaces {
        self.0.namespaces
    }

    /// Returns the id of each quota, in their order: under which of them a store keeps the
    /// usage of a key in the namespace of the policy's counters. A store keeps what is there
    /// under other ids: a server that runs by another configuration has written it.
    #[must_use]
    pub fn quota_ids(&self) -> &[QuotaId] {
        &self.0.quota_ids
    }

    /// Returns true if both count in the same counters, though their limits may differ.
    pub(crate) fn has_counters_of(&self, other: &Self) -> bool {
        self.0.namespaces.counters == other.0.namespaces.counters
            && self.0.quota_ids == other.0.quota_ids
    }

    /// Returns a digest of the counters' namespace and of the quotas with their limits,
    /// by which refusals are kept: those of one limit are not those of another.
    #[cfg(feature = "memory")]
    pub(crate) fn limits(&self) -> u64 {
        self.0.limits
    }

    #[cfg(feature = "memory")]
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Returns the longest time for which its counters and bans may matter.
    pub(crate) fn remembered_for(&self) -> Duration {
        let drain = |quota: &Quota| {
            let windows = u32::try_from(quota.burst().div_ceil(quota.limit())).unwrap_or(u32::MAX);
            quota.window().saturating_mul(windows.saturating_add(1))
        };
        let drains = self.quotas().iter().map(drain);
        drains.chain(self.ban().map(BanRule::longest)).max().unwrap_or_default().min(MAX_BAN)
    }

    fn with(self, change: impl FnOnce(&mut Rule)) -> Self {
        let mut rule = Arc::unwrap_or_clone(self.0);
        change(&mut rule);
        Self(Arc::new(rule.with_namespaces()))
    }
}

impl Rule {
    fn new(name: &str, quotas: Quotas) -> Self {
        Self {
            name: name.to_owned(),
            quotas,
            key: KeySpec::default(),
            ban: None,
            mode: Mode::default(),
            headers: HeaderStyles::default(),
            on_store_error: OnStoreError::default(),
            counted: CountedStatuses::default(),
            is_reservation: false,
            per_address: PER_ADDRESS,
            lease: false,
            namespaces: Namespaces { counters: 0, bans: 0, strikes: 0 },
            quota_ids: Box::default(),
            #[cfg(feature = "memory")]
            counters: Counters::default(),
            #[cfg(feature = "memory")]
            limits: 0,
        }
    }

    fn with_namespaces(mut self) -> Self {
        let of = |name| Namespaces::of(name, self.mode, self.ban.as_ref());
        let own = of(&self.name);
        self.namespaces = match self.name.strip_suffix(derived_policies::PREFLIGHTS) {
            Some(shared) => Namespaces { counters: own.counters, ..of(shared) },
            None => own,
        };
        self.quota_ids = quota_ids::quota_ids(&self.quotas);
        self.with_counters()
    }

    /// The memory store's counters are those of this rule.
    #[cfg_attr(not(feature = "memory"), allow(unused_mut, reason = "there are none"))]
    fn with_counters(mut self) -> Self {
        #[cfg(feature = "memory")]
        {
            let Self { namespaces, mode, quotas, quota_ids, ban, .. } = &self;
            let counters = Counters::of(*namespaces, *mode, quotas, quota_ids, ban.as_ref());
            self.counters = counters;
            let mut limits = DefaultHasher::new();
            (self.namespaces.counters, &self.quotas).hash(&mut limits);
            self.limits = limits.finish();
        }
        self
    }
}

//! A named rule: [`Policy`].
//!
//! ```
//! use std::time::Duration;
//! use limiter_core::{BanRule, KeySpec, OnStoreError, Policy, Quotas};
//!
//! let minutes = |n: u64| Duration::from_secs(60 * n);
//! let policy = Policy::new("login", "5/minute; 50/day".parse::<Quotas>()?)?
//!     .with_key(KeySpec::parse(["ip"])?)
//!     .with_ban(BanRule::new(10, minutes(10), minutes(10))?)
//!     .with_on_store_error(OnStoreError::Deny);
//! assert_eq!(policy.name(), "login");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "memory")]
mod counters;
mod namespaces;
mod validate;

use std::{sync::Arc, time::Duration};

#[cfg(feature = "memory")]
pub(crate) use self::counters::{Counted, Hint, Hints, Kind};
pub(crate) use self::{namespaces::Namespaces, validate::check_together};
use crate::{
    ban::{BanRule, MAX_BAN},
    error::ConfigError,
    key::KeySpec,
    quota::{Quota, Quotas},
    response::headers::HeaderStyle,
};

/// How many header values one address may use up at the quota of one.
const PER_ADDRESS: u64 = 10;

/// A named rule: quotas on one key, and what to do when they are exceeded.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    quotas: Quotas,
    key: KeySpec,
    ban: Option<BanRule>,
    mode: Mode,
    headers: HeaderStyle,
    on_store_error: OnStoreError,
    per_address: u64,
    scope: Namespaces,
    #[cfg(feature = "memory")]
    hints: Hints,
}

/// Whether a policy refuses or only watches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// Requests over the quota are refused.
    #[default]
    Enforce,
    /// Requests over the quota pass; the decision says what would have been,
    /// and a log line at level `info` with it. No header is sent.
    Shadow,
}

/// What a policy does while the store cannot answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnStoreError {
    /// Counts in the memory of this process until the store is back, and then
    /// charges the store with what it has admitted, at most once. Meanwhile n
    /// servers admit up to n times the limit, unless they
    /// [divide](crate::LimiterBuilder::local_share) it.
    #[default]
    Local,
    /// Admits everything, without `RateLimit` fields.
    Allow,
    /// Refuses everything with 503.
    Deny,
}

impl Policy {
    /// A policy that counts each client address and enforces `quotas`.
    ///
    /// # Errors
    /// If the name is not 1 to 64 lower-case letters, digits, `-` and `_`,
    /// beginning with a letter. Such a name is a String and a Token of
    /// RFC 9651 alike, so that header drafts may choose.
    pub fn new(name: &str, quotas: impl Into<Quotas>) -> Result<Self, ConfigError> {
        check_name("policy", name)?;
        Ok(Self(Arc::new(Rule::new(name, quotas.into()).with_scope())))
    }

    /// Sets whom the policy counts. Defaults to the client's address.
    #[must_use]
    pub fn with_key(self, key: KeySpec) -> Self {
        self.with(|rule| rule.key = key)
    }

    /// Bans keys by that rule. Defaults to no bans.
    #[must_use]
    pub fn with_ban(self, ban: BanRule) -> Self {
        self.with(|rule| {
            rule.ban = Some(ban);
            *rule = rule.clone().with_scope();
        })
    }

    /// Sets whether the policy refuses. Defaults to [`Mode::Enforce`].
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        self.with(|rule| rule.mode = mode)
    }

    /// Sets which header fields tell clients. Defaults to the IETF draft's.
    #[must_use]
    pub fn with_headers(self, headers: HeaderStyle) -> Self {
        self.with(|rule| rule.headers = headers)
    }

    /// Sets what happens while the store cannot answer. Defaults to
    /// [`OnStoreError::Local`].
    #[must_use]
    pub fn with_on_store_error(self, on_store_error: OnStoreError) -> Self {
        self.with(|rule| rule.on_store_error = on_store_error)
    }

    /// Where the key has a header, which clients choose at will: how many
    /// times the quota one address may use over all its header values.
    /// Defaults to 10.
    ///
    /// Without that a client would escape by sending a new value with each
    /// request. The address is counted beside the header, in the same
    /// decision, under the name `<policy>.address`.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_per_address(self, per_address: u64) -> Result<Self, ConfigError> {
        if per_address == 0 {
            return Err(ConfigError::at("per_address", "is 0; write 1 or more"));
        }
        Ok(self.with(|rule| rule.per_address = per_address))
    }

    /// A policy under a name that no other can have, to probe stores with: one
    /// request a minute, and the next one bans.
    #[cfg(feature = "_shared")]
    pub(crate) fn probe() -> Self {
        let quota = Quota::per_minute(1).expect("1 a minute is a quota");
        let minute = Duration::from_secs(60);
        let mut rule = Rule::new("limiter.probe", quota.into());
        rule.ban = Some(BanRule::new(1, minute, minute).expect("1 strike a minute is a rule"));
        Self(Arc::new(rule.with_scope()))
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

    /// Whom the policy counts.
    #[must_use]
    pub fn key(&self) -> &KeySpec {
        &self.0.key
    }

    /// The rule of bans, if there is one.
    #[must_use]
    pub fn ban(&self) -> Option<&BanRule> {
        self.0.ban.as_ref()
    }

    /// Whether the policy refuses.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Which header fields tell clients.
    #[must_use]
    pub fn headers(&self) -> HeaderStyle {
        self.0.headers
    }

    /// What happens while the store cannot answer.
    #[must_use]
    pub fn on_store_error(&self) -> OnStoreError {
        self.0.on_store_error
    }

    /// Whether both are one and the same: clones of one policy.
    #[cfg(feature = "_shared")]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn scope(&self) -> Namespaces {
        self.0.scope
    }

    #[cfg(feature = "memory")]
    pub(crate) fn hints(&self) -> &Hints {
        &self.0.hints
    }

    /// The policy with one of `parts` parts of its quotas, but as much as `cost`
    /// where it has so much at all.
    pub(crate) fn divided(&self, parts: u32, cost: u64) -> Self {
        self.clone().with(|rule| rule.quotas = rule.quotas.divided(parts, cost))
    }

    /// How long what it counts, or bans, may matter.
    pub(crate) fn remembered_for(&self) -> Duration {
        let drain = |quota: &Quota| {
            let windows = u32::try_from(quota.burst().div_ceil(quota.limit())).unwrap_or(u32::MAX);
            quota.window().saturating_mul(windows.saturating_add(1))
        };
        let drains = self.quotas().iter().map(drain);
        drains.chain(self.ban().map(BanRule::longest)).max().unwrap_or_default().min(MAX_BAN)
    }

    /// The policy that counts the address beside a key that clients choose.
    pub(crate) fn companion(&self) -> Option<Self> {
        self.0.key.is_client_chosen().then(|| {
            let rule = Rule::clone(&self.0);
            let companion = Rule {
                name: format!("{}.address", rule.name),
                quotas: rule.quotas.scaled(rule.per_address),
                key: KeySpec::default(),
                ban: rule.ban.map(BanRule::without_group),
                ..rule
            };
            Self(Arc::new(companion.with_scope()))
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Rule)) -> Self {
        let rule = Arc::make_mut(&mut self.0);
        change(rule);
        rule.forget_hints();
        self
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
            headers: HeaderStyle::default(),
            on_store_error: OnStoreError::default(),
            per_address: PER_ADDRESS,
            scope: Namespaces { counters: 0, bans: 0, strikes: 0 },
            #[cfg(feature = "memory")]
            hints: Hints::default(),
        }
    }

    fn with_scope(mut self) -> Self {
        self.scope = Namespaces::of(&self.name, &self.quotas, self.ban.as_ref());
        self.forget_hints();
        self
    }

    /// Whatever was known of another policy is not of this one.
    #[allow(clippy::unused_self, reason = "without a memory store there is none")]
    fn forget_hints(&mut self) {
        #[cfg(feature = "memory")]
        {
            self.hints = Hints::of(self.scope, &self.quotas, self.ban.as_ref());
        }
    }
}

/// Checks the name of a policy or group.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), ConfigError> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if first && name.len() <= 64 && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(ConfigError::new(format!(
        "{what} name {name:?}: write 1 to 64 lower-case letters, digits, \"-\" and \"_\", \
         beginning with a letter"
    )))
}

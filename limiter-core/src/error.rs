//! Errors: before the start ([`ConfigError`]), and while deciding
//! ([`Error`]).

mod from_texts;
mod unknown_policy;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

pub(crate) use self::from_texts::from_texts;
pub use self::unknown_policy::UnknownPolicy;

/// The error of a limiter that cannot be built as configured.
///
/// The message names where the fault is (`policies.api.quota`), what is wrong
/// and what would be right, in one line.
#[derive(Clone, Eq, PartialEq)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    path: Vec<String>,
    message: String,
}

/// The kind of a [`ConfigError`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// Something that was written is wrong, or is missing: the same configuration fails
    /// again.
    Invalid,
    /// The file of the configuration is not there.
    NoFile,
    /// The store does not answer, or refuses: it may be tried again.
    Store,
}

impl ConfigError {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { kind: ConfigErrorKind::Invalid, path: Vec::new(), message: message.to_string() }
    }

    #[cfg(any(feature = "config", feature = "_shared"))]
    pub(crate) fn of_kind(kind: ConfigErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, ..Self::new(message) }
    }

    /// Returns the kind of the error.
    ///
    /// ```
    /// use limiter_core::{Config, ConfigErrorKind};
    ///
    /// let error = Config::from_file("/no/such/limiter.toml").unwrap_err();
    /// assert_eq!(error.kind(), ConfigErrorKind::NoFile);
    ///
    /// let error = Config::from_toml("policies.api.quota = 10").unwrap_err();
    /// assert_eq!(error.kind(), ConfigErrorKind::Invalid);
    /// ```
    #[must_use]
    pub const fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    pub(crate) fn at(name: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::new(message).within(name)
    }

    /// The same error, found inside `name`.
    #[must_use]
    pub(crate) fn within(mut self, name: impl fmt::Display) -> Self {
        self.path.insert(0, name.to_string());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path.join("."))?;
        }
        f.write_str(&self.message)
    }
}

/// The message, as in `Display`: it is what `main() -> Result<(), Box<dyn Error>>`
/// prints.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for ConfigError {}

/// Why a request could not be decided.
///
/// A refusal is not an error but a [`Decision`](crate::Decision).
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed, and a policy says `on_store_error = "deny"`.
    #[error("the store did not answer: {0}")]
    Unavailable(#[source] StoreError),
    /// More requests wait for the store than it can answer. No policy admits
    /// the request, whatever its `on_store_error` says.
    #[error("{source}")]
    Overloaded {
        /// The store's error.
        source: StoreError,
        /// When the client may try again.
        retry_after: Duration,
    },
    /// The store failed at an operation that has no fallback, such as lifting a ban.
    #[error("the store did not apply the change: {0}")]
    Store(#[source] StoreError),
    /// The connection has no address, as on a unix socket or in a test client.
    #[error(
        "the connection has no peer address; say what it counts as, \
         such as `fallback_address = \"127.0.0.1\"`"
    )]
    NoAddress,
    /// The application has no limiter where one was looked for.
    #[error(
        "there is no Limiter; write App::new().app_data(limiter.clone()), or attach RateLimitFairing"
    )]
    NoLimiter,
    /// A trusted proxy sent a forwarding header that names no client.
    #[error("{header}: {reason}")]
    Forwarding {
        /// The header, as configured.
        header: String,
        /// The reason why it cannot be used.
        reason: String,
    },
    /// The client's address is in a network of the block list.
    #[error("the address is blocked")]
    Blocked,
    /// A manual ban of a trusted proxy or an address of `never_ban`.
    #[error("that address is a trusted proxy or in never_ban, and so is never banned")]
    NeverBanned,
    /// A change to a ban where the policy has no ban rule.
    #[error("the policy {0:?} has no ban rule; write one, such as ban = {{ threshold = 10, ... }}")]
    NoBanRule(String),
    /// A policy that the configuration does not have.
    #[error(transparent)]
    UnknownPolicy(#[from] UnknownPolicy),
    /// A policy whose limit this request has not passed.
    #[error(
        "the policy {policy:?} has not counted this request; it was counted by: {}",
        counted.join(", ")
    )]
    NotCounted {
        /// The policy that was named.
        policy: String,
        /// The policies that have counted the request.
        counted: Vec<String>,
    },
}

/// The message, as in `Display`: it is what `main() -> Result<(), Box<dyn Error>>`
/// prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        match source.kind() {
            StoreErrorKind::Overloaded { retry_after } => Self::Overloaded { source, retry_after },
            _ => Self::Store(source),
        }
    }
}

/// Why a store did not answer a call, with the backend's own error as source.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreError {
    source: Arc<dyn StdError + Send + Sync>,
    kind: StoreErrorKind,
    may_be_applied: bool,
}

/// The effect of a failed call on the state in the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store failed or did not answer in time. It may have applied the call.
    Failed,
    /// The store could not be reached, or refused. It has not applied the call.
    NotApplied,
    /// The store was not called, because its circuit breaker is open.
    Unavailable,
    /// Too many requests wait for the store, or for this process. This is no failure
    /// of the store: the request is refused, whatever
    /// [`OnStoreError`](crate::OnStoreError) says.
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
}

impl StoreError {
    /// Wraps the error of a backend that may have applied the call.
    #[must_use]
    pub fn new(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of_kind(StoreErrorKind::Failed, source)
    }

    /// Wraps the error of a backend that has certainly not applied the call: it
    /// could not be reached, or has refused.
    #[must_use]
    pub fn not_applied(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of_kind(StoreErrorKind::NotApplied, source)
    }

    /// The error of a call that was not made, because the circuit breaker of the
    /// server is open.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of_kind(StoreErrorKind::Unavailable, source)
    }

    /// The error of a call that was not made, because too many requests wait for
    /// the store.
    #[must_use]
    pub fn overloaded(retry_after: Duration) -> Self {
        let kind = StoreErrorKind::Overloaded { retry_after };
        Self::of_kind(kind, "too many requests wait for the store")
    }

    /// The error of a call that was made, and whose answer is late because this
    /// process lags.
    #[cfg(feature = "_shared")]
    pub(crate) fn overloaded_in_flight(retry_after: Duration) -> Self {
        Self { may_be_applied: true, ..Self::overloaded(retry_after) }
    }

    fn of_kind(kind: StoreErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let may_be_applied = kind == StoreErrorKind::Failed;
        Self { source: Arc::from(source.into()), kind, may_be_applied }
    }

    /// Returns what is known about the state in the store.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns true if too many requests wait for the store, which is no failure of it.
    #[must_use]
    pub const fn is_overload(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Overloaded { .. })
    }

    /// Returns true if the call was not made, so that the error says nothing about the server.
    pub(crate) const fn is_uncalled(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable | StoreErrorKind::Overloaded { .. })
    }

    /// Returns true if the store has certainly not applied the call.
    #[must_use]
    pub const fn is_not_applied(&self) -> bool {
        !self.may_be_applied
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

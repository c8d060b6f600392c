//! What can go wrong: before the start ([`ConfigError`]), and while deciding
//! ([`Error`]).

use std::{error::Error as StdError, fmt};

/// A limiter that cannot be built as asked.
///
/// The message names where the fault is (`policies.api.quota`), what is wrong
/// and what would be right, in one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    path: Vec<String>,
    message: String,
}

impl ConfigError {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { path: Vec::new(), message: message.to_string() }
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

impl StdError for ConfigError {}

/// Why a request could not be decided.
///
/// A refusal is not an error but a [`Decision`](crate::Decision).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed, and a policy says `on_store_error = "deny"`.
    #[error("the store did not answer: {0}")]
    Unavailable(#[source] StoreError),
    /// The store failed at something that has no stand-in, such as lifting a ban.
    #[error("the store did not do as asked: {0}")]
    Store(#[from] StoreError),
    /// The connection has no address, as on a unix socket or in a test client.
    #[error(
        "the connection has no peer address; say what it counts as, \
         such as `fallback_address = \"127.0.0.1\"`"
    )]
    NoAddress,
    /// A trusted proxy sent a forwarding header that names no client.
    #[error("{header}: {reason}")]
    Forwarding {
        /// The header, as configured.
        header: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client's address is in a network of the block list.
    #[error("the address is blocked")]
    Blocked,
    /// A ban asked for a trusted proxy or an address of `never_ban`.
    #[error("that address is a trusted proxy or in never_ban, and so is never banned")]
    NeverBanned,
    /// A change to a ban where the policy has no ban rule.
    #[error("the policy {0:?} has no ban rule; write one, such as ban = {{ threshold = 10, ... }}")]
    NoBanRule(String),
    /// A policy that the configuration does not have.
    #[error(transparent)]
    UnknownPolicy(#[from] UnknownPolicy),
}

/// A policy name that the limiter does not know.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no policy {name:?}; {}", list(known))]
pub struct UnknownPolicy {
    pub(crate) name: String,
    pub(crate) known: Vec<String>,
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none is configured".to_owned(),
        names => format!("configured are: {}", names.join(", ")),
    }
}

/// A store that could not answer, with the backend's own error as source.
#[derive(Debug)]
pub struct StoreError {
    source: Box<dyn StdError + Send + Sync>,
    did_nothing: bool,
}

impl StoreError {
    /// Wraps what a backend reported that may have done what it was asked.
    #[must_use]
    pub fn new(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: source.into(), did_nothing: false }
    }

    /// Wraps what a backend reported that has certainly done nothing: it could
    /// not be reached, or has refused.
    #[must_use]
    pub fn nothing_done(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: source.into(), did_nothing: true }
    }

    /// Whether the backend has certainly done nothing.
    #[must_use]
    pub const fn did_nothing(&self) -> bool {
        self.did_nothing
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

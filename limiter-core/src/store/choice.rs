//! Which store a limiter is to have, and making it.

use std::{sync::Arc, time::Duration};

use super::Store;
use crate::error::ConfigError;

/// The most keys or bans that the memory store may be told to hold.
pub(crate) const MAX_ENTRIES: usize = 100_000_000;

/// Where state is to live.
#[derive(Clone, Debug, Default)]
pub(crate) enum StoreChoice {
    #[default]
    Memory,
    Redis(Shared),
    Given(Arc<dyn Store>),
}

/// How much the memory store may hold, be it the store or its stand-in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) keys: usize,
    pub(crate) bans: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { keys: 1_000_000, bans: 100_000 }
    }
}

/// What is to be known of a store that servers share.
#[derive(Clone)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "for shared stores alone"))]
pub(crate) struct Shared {
    pub(crate) url: String,
    pub(crate) prefix: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) deadline: Option<Duration>,
}

impl std::fmt::Debug for Shared {
    /// Without the URL and the secret: they may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl StoreChoice {
    pub(crate) async fn make(self, caps: Caps) -> Result<Arc<dyn Store>, ConfigError> {
        match self {
            Self::Memory => memory(caps),
            Self::Redis(settings) => redis(settings).await,
            Self::Given(store) => Ok(store),
        }
    }
}

/// Whether the memory store is compiled in.
pub(crate) const HAS_MEMORY: bool = cfg!(feature = "memory");

/// Whether the Redis store is compiled in.
pub(crate) const HAS_REDIS: bool = cfg!(feature = "redis");

#[cfg(feature = "memory")]
#[allow(clippy::unnecessary_wraps, reason = "without the feature there is none")]
pub(crate) fn memory(caps: Caps) -> Result<Arc<dyn Store>, ConfigError> {
    let builder = super::MemoryStore::builder().max_keys(caps.keys).max_bans(caps.bans);
    Ok(Arc::new(builder.build()))
}

#[cfg(not(feature = "memory"))]
pub(crate) fn memory(_: Caps) -> Result<Arc<dyn Store>, ConfigError> {
    Err(not_compiled("memory"))
}

#[cfg(feature = "redis")]
async fn redis(settings: Shared) -> Result<Arc<dyn Store>, ConfigError> {
    let Shared { url, prefix, secret, deadline } = settings;
    let mut builder = super::RedisStore::builder(&url);
    if let Some(prefix) = prefix {
        builder = builder.prefix(&prefix);
    }
    if let Some(secret) = secret {
        builder = builder.key_secret(secret);
    }
    if let Some(deadline) = deadline {
        builder = builder.deadline(deadline);
    }
    Ok(Arc::new(builder.connect().await?))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: Shared) -> Result<Arc<dyn Store>, ConfigError> {
    Err(not_compiled("redis"))
}

/// That a store's feature is off.
pub(crate) fn not_compiled(feature: &str) -> ConfigError {
    ConfigError::new(format!(
        "the store {feature:?} is not compiled in; enable the feature {feature:?} of limiter-core, \
         limiter-actix or limiter-rocket"
    ))
}

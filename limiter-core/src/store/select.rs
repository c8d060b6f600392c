//! Which store a limiter is to have, and making it.

#![cfg_attr(
    not(all(feature = "config", feature = "memory")),
    allow(dead_code, reason = "limits are of the memory store, URLs of the configuration")
)]

use std::sync::Arc;

use super::Store;
use crate::error::ConfigError;

/// The most keys or bans that the memory store may be told to hold.
pub(crate) const MAX_ENTRIES: usize = 100_000_000;

/// Where state is to live.
#[derive(Clone, Debug, Default)]
pub(crate) enum StoreChoice {
    #[default]
    Memory,
    #[cfg(feature = "_shared")]
    Shared(super::RemoteStoreBuilder),
    Given(Arc<dyn Store>),
}

/// How much the memory store may hold, be it the store or its stand-in, and
/// among how many servers the limits are divided while it stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryLimits {
    pub(crate) keys: usize,
    pub(crate) bans: usize,
    pub(crate) local_share: u32,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { keys: 1_000_000, bans: 100_000, local_share: 1 }
    }
}

impl StoreChoice {
    pub(crate) async fn make(self, caps: MemoryLimits) -> Result<Arc<dyn Store>, ConfigError> {
        match self {
            Self::Memory => memory(caps),
            #[cfg(feature = "_shared")]
            Self::Shared(builder) => Ok(Arc::new(builder.connect().await?)),
            Self::Given(store) => Ok(store),
        }
    }
}

/// The databases that are compiled in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Database {
    #[cfg(feature = "redis")]
    Redis,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    MySql,
    #[cfg(feature = "sqlite")]
    Sqlite,
}

impl Database {
    /// Which database an URL is of. Of the URL only the scheme is ever told:
    /// what follows may hold a password.
    pub(crate) fn of(url: &str) -> Result<Self, ConfigError> {
        let is_scheme =
            |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let scheme = url.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme);
        let scheme = scheme.unwrap_or("without ://");
        match scheme {
            "rediss" | "rediss-sentinel" | "rediss-cluster" if !cfg!(feature = "tls") => {
                Err(not_compiled("tls"))
            }
            "redis" | "redis-sentinel" | "redis-cluster" | "rediss" | "rediss-sentinel"
            | "rediss-cluster" => Self::redis(),
            "postgres" | "postgresql" => Self::postgres(),
            "mysql" | "mariadb" => Self::mysql(),
            "sqlite" => Self::sqlite(),
            _ => Err(ConfigError::new(format!(
                "there is no store {scheme:?}; write \"memory\", or an URL that begins with \
                 redis://, redis-sentinel://, redis-cluster://, postgres://, mysql:// or sqlite://"
            ))),
        }
    }
}

/// Finds a database, if its feature is on.
macro_rules! compiled {
    ($function:ident, $feature:literal, $variant:ident) => {
        impl Database {
            #[cfg(feature = $feature)]
            #[allow(clippy::unnecessary_wraps, reason = "without the feature there is none")]
            fn $function() -> Result<Self, ConfigError> {
                Ok(Self::$variant)
            }

            #[cfg(not(feature = $feature))]
            fn $function() -> Result<Self, ConfigError> {
                Err(not_compiled($feature))
            }
        }
    };
}

compiled!(redis, "redis", Redis);
compiled!(postgres, "postgres", Postgres);
compiled!(mysql, "mysql", MySql);
compiled!(sqlite, "sqlite", Sqlite);

#[cfg(feature = "_shared")]
impl Database {
    pub(crate) fn check_prefix(self, prefix: &str) -> Result<(), ConfigError> {
        let plain = |name: &str| {
            !name.starts_with(|first: char| first.is_ascii_digit())
                && (1..=32).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        match self {
            #[cfg(feature = "redis")]
            Self::Redis => crate::name::check_name("prefix", prefix),
            #[allow(unreachable_patterns, reason = "where Redis alone is compiled in")]
            _ if prefix.split('.').count() <= 2 && prefix.split('.').all(plain) => Ok(()),
            #[allow(unreachable_patterns, reason = "where Redis alone is compiled in")]
            _ => Err(ConfigError::at(
                "prefix",
                format!(
                    "is {prefix:?}; tables want 1 to 32 lower-case letters, digits and \"_\", \
                     beginning with a letter, such as \"limiter\" or \"schema.limiter\""
                ),
            )),
        }
    }
}

/// Whether the memory store is compiled in.
pub(crate) const HAS_MEMORY: bool = cfg!(feature = "memory");

#[cfg(feature = "memory")]
#[allow(clippy::unnecessary_wraps, reason = "without the feature there is none")]
pub(crate) fn memory(caps: MemoryLimits) -> Result<Arc<dyn Store>, ConfigError> {
    let builder = super::MemoryStore::builder().max_keys(caps.keys).max_bans(caps.bans);
    Ok(Arc::new(builder.build()))
}

#[cfg(not(feature = "memory"))]
pub(crate) fn memory(_: MemoryLimits) -> Result<Arc<dyn Store>, ConfigError> {
    Err(not_compiled("memory"))
}

/// That a store's feature is off.
pub(crate) fn not_compiled(feature: &str) -> ConfigError {
    ConfigError::new(format!(
        "needs the feature {feature:?}, which is not compiled in; enable it of limiter-core, \
         limiter-actix or limiter-rocket"
    ))
}

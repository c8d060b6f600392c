//! The store of a limiter: chosen by the application or its configuration, and made.

#![cfg_attr(
    not(all(feature = "config", feature = "memory")),
    allow(dead_code, reason = "the configuration chooses a store")
)]

use std::sync::Arc;

use super::{Store, memory_capacity::MemoryLimits};
use crate::error::ConfigError;

/// The place where state is kept.
#[derive(Clone, Debug, Default)]
pub(crate) enum StoreChoice {
    #[default]
    Memory,
    #[cfg(feature = "_shared")]
    Remote(super::RemoteStoreBuilder),
    Given(Arc<dyn Store>),
}

impl StoreChoice {
    pub(crate) async fn make(self, caps: MemoryLimits) -> Result<Arc<dyn Store>, ConfigError> {
        match self {
            Self::Memory => memory(caps),
            #[cfg(feature = "_shared")]
            Self::Remote(builder) => Ok(Arc::new(builder.connect().await?)),
            Self::Given(store) => Ok(store),
        }
    }
}

/// True if the memory store is compiled in.
pub(crate) const HAS_MEMORY: bool = cfg!(feature = "memory");

#[cfg(feature = "memory")]
#[allow(clippy::unnecessary_wraps, reason = "without the feature there is none")]
pub(crate) fn memory(caps: MemoryLimits) -> Result<Arc<dyn Store>, ConfigError> {
    let builder = super::MemoryStore::builder().max_keys(caps.keys).max_bans(caps.bans);
    Ok(Arc::new(builder.build()))
}

#[cfg(not(feature = "memory"))]
pub(crate) fn memory(_: MemoryLimits) -> Result<Arc<dyn Store>, ConfigError> {
    Err(super::database_kind::not_compiled("memory"))
}

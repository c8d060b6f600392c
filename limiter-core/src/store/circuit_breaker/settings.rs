//! The settings that all circuit breakers of a store share.

use std::{sync::Arc, time::Duration};

use crate::events::StoreObservers;

/// The settings of the circuit breakers of one store.
#[derive(Clone, Debug)]
pub(crate) struct BreakerSettings {
    /// The longest time that a call may take.
    pub(crate) timeout: Duration,
    /// The observers that are called when a server fails or answers again.
    pub(crate) observers: Arc<StoreObservers>,
}

impl BreakerSettings {
    /// Settings without an observer.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, observers: Arc::default() }
    }
}

//! The settings of circuit breakers: the numbers after which one opens and closes, and what
//! those of one store share.

use std::{sync::Arc, time::Duration};

use crate::events::StoreObservers;

/// Failures in a row that open the breaker.
pub(super) const FAILURES: u32 = 5;

/// The number of last calls that open it if half of them failed.
pub(super) const RECENT_CALLS: u32 = 20;

/// The time without a failed call after a probe succeeded, until it closes.
pub(in crate::store) const PROBATION: Duration = Duration::from_millis(900);

/// The first pause after failures in the probation, and the longest.
pub(super) const FIRST_HOLD: Duration = Duration::from_secs(1);
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// The time between calls that are let through where no task probes the server.
pub(super) const OWN_PROBE_INTERVAL: Duration = Duration::from_millis(100);
pub(super) const LONGEST_OWN_PROBE_INTERVAL: Duration = Duration::from_secs(1);

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

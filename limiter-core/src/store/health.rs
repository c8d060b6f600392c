//! The health of a store's servers, as reported to the application.

use std::time::SystemTime;

use crate::stats::{CallStats, ServerStats};

/// The state of one server.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Health {
    /// It answers.
    Healthy,
    /// It does not answer; policies apply their [`OnStoreError`](crate::OnStoreError).
    Degraded {
        /// When the circuit breaker opened.
        since: SystemTime,
        /// The last error of the server.
        reason: String,
    },
}

/// The health of one server of a store.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ServerHealth {
    /// Host and port, or another name of the server within its store. Never a password.
    pub server: String,
    /// Its state.
    pub health: Health,
    /// The calls that were sent to it.
    pub calls: CallStats,
}

impl From<ServerHealth> for ServerStats {
    fn from(ServerHealth { server, health, calls }: ServerHealth) -> Self {
        let unhealthy_since = match health {
            Health::Healthy => None,
            Health::Degraded { since, .. } => Some(since),
        };
        Self { server, is_healthy: unhealthy_since.is_none(), unhealthy_since, calls }
    }
}

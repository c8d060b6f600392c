//! The health of a store's servers, as reported to the application.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::{
    stats::{CallStats, ServerStats},
    time::Timestamp,
};

/// The state of one server.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Health {
    /// It answers.
    Healthy,
    /// It does not answer; policies apply their [`OnStoreError`](crate::OnStoreError).
    Degraded {
        /// When the circuit breaker opened.
        #[serde(serialize_with = "as_timestamp")]
        since: SystemTime,
        /// The last error of the server.
        reason: String,
    },
}

/// The health of one server of a store.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerHealth {
    /// Host and port, or another name of the server within its store. Never a password.
    pub server: String,
    /// Its state.
    #[serde(flatten)]
    pub health: Health,
    /// The calls that were sent to it.
    pub calls: CallStats,
}

fn as_timestamp<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    Timestamp::from(*time).serialize(serializer)
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

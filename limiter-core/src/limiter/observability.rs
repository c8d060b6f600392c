//! The observable side of a running limiter: numbers, refused keys, events.

#[cfg(feature = "metrics")]
use std::sync::Arc;

use super::{Inner, Limiter};
#[cfg(feature = "metrics")]
use crate::metrics::Publisher;
use crate::{
    error::UnknownPolicy,
    events::EventStream,
    stats::{EntryStats, RefusedKey, ReloadStats, Snapshot, StoreStats},
    time::{Clock, SystemClock},
};

impl Limiter {
    /// Returns what was counted since the limiter was built: see [`stats`](crate::stats).
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.0.stats()
    }

    /// Returns the keys that a policy has refused most in the last ten minutes, at most
    /// `limit` of them, the most refused first; of a shadow policy those that it would
    /// have refused.
    ///
    /// At most 256 keys are known for each minute, however many are refused. A key with
    /// more than 1/256 of a minute's refusals is among them, and each count has a bound
    /// of its [error](RefusedKey::error). Of more than 4,096 refusals a minute, a sample is
    /// counted: see [`RefusedKey`].
    ///
    /// # Errors
    /// If the policy is unknown.
    pub fn top_refused(
        &self,
        policy: &str,
        limit: usize,
    ) -> Result<Vec<RefusedKey>, UnknownPolicy> {
        let rules = self.rules();
        let policy = rules.find_by_hand(policy)?;
        let counters = self.0.counters.of_policy(policy.reported_name());
        Ok(counters.refused_keys.top(limit, SystemClock.now()))
    }

    /// Returns a stream of the [events](crate::events) from now on, refusals left out,
    /// with room for `capacity` events that are yet to be read, at least one. Events
    /// that find no room are dropped and counted.
    #[must_use]
    pub fn events(&self, capacity: usize) -> EventStream {
        let (stream, sink) = EventStream::new(capacity);
        self.0.observers.add_stream(sink);
        stream
    }
}

#[cfg(feature = "metrics")]
impl Limiter {
    /// Publishes the [metrics](crate::metrics) now, beside once a second: before they are
    /// read, so that they are those of this moment.
    pub fn publish_metrics(&self) {
        crate::metrics::publish(&self.stats());
    }

    /// Starts the thread that publishes once a second.
    pub(super) fn start_publisher(&self) {
        let inner = Arc::downgrade(&self.0);
        match Publisher::start(move || Some(inner.upgrade()?.stats())) {
            Ok(publisher) => {
                let _ = self.0.publisher.set(publisher);
            }
            Err(error) => {
                tracing::error!(%error, "metrics are published on demand only: there is no thread");
            }
        }
    }
}

impl Inner {
    pub(super) fn stats(&self) -> Snapshot {
        let servers = self.store.health().unwrap_or_default();
        let store = StoreStats {
            servers: servers.into_iter().map(Into::into).collect(),
            entries: self.entries(),
            ..StoreStats::default()
        };
        let rules = self.rules.get();
        let policies = rules.companions.values().chain(rules.policies.values());
        Snapshot::new(&self.counters, policies, store, self.reload_stats())
    }

    #[cfg(feature = "config")]
    fn reload_stats(&self) -> ReloadStats {
        self.reloading.stats()
    }

    #[cfg(not(feature = "config"))]
    #[allow(clippy::unused_self, reason = "with the feature it is used")]
    fn reload_stats(&self) -> ReloadStats {
        ReloadStats::default()
    }

    /// The collections in the memory of this process.
    #[cfg(feature = "memory")]
    fn entries(&self) -> Vec<EntryStats> {
        match &self.memory {
            Some(memory) => memory.entries().into(),
            None => self.fallback.entries(),
        }
    }

    #[cfg(not(feature = "memory"))]
    #[allow(clippy::unused_self, reason = "with the feature it is used")]
    fn entries(&self) -> Vec<EntryStats> {
        Vec::new()
    }
}

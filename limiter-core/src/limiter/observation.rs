//! What can be seen of a limiter while it runs: numbers, refused keys, events.

use super::{Inner, Limiter};
use crate::{
    error::UnknownPolicy,
    events::EventStream,
    stats::{EntryStats, RefusedKey, Snapshot, StoreStats},
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
    /// of its [error](RefusedKey::error).
    ///
    /// # Errors
    /// If the policy is unknown.
    pub fn top_refused(
        &self,
        policy: &str,
        limit: usize,
    ) -> Result<Vec<RefusedKey>, UnknownPolicy> {
        let policy = self.find_by_hand(policy)?;
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

impl Inner {
    pub(super) fn stats(&self) -> Snapshot {
        let servers = self.store.health().unwrap_or_default();
        let store = StoreStats {
            servers: servers.into_iter().map(Into::into).collect(),
            entries: self.entries(),
            ..StoreStats::default()
        };
        let policies = self.companions.values().chain(self.policies.values());
        Snapshot::new(&self.counters, policies, store)
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

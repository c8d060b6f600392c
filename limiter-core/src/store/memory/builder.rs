//! Setting up a memory store.

use std::sync::Arc;

use super::{
    MemoryStore, Shared, bans::Bans, counter_ids::CounterIds, store_clock::StoreClock, table::Table,
};
use crate::{
    store::memory_capacity::{MAX_ENTRIES, MemoryLimits},
    time::{Clock, Timestamp},
};

/// How far before the store's start slots count time from, in microseconds, by a clock that
/// may step back: by so much (52 days), and times still fit a word. By the system's
/// clock they count from the start, since each bit less of time is one more of units.
const BEHIND: u64 = 1 << 42;

/// Sets up a [`MemoryStore`].
#[derive(Debug)]
#[must_use]
pub struct MemoryStoreBuilder {
    max_keys: usize,
    max_bans: usize,
    clock: Option<Arc<dyn Clock>>,
}

impl MemoryStoreBuilder {
    /// Sets the most counters (and strike counts) that are kept, one for each
    /// quota of a policy and key. From 1 to 100,000,000; defaults to 1,000,000.
    pub fn max_keys(self, max_keys: usize) -> Self {
        Self { max_keys: max_keys.clamp(1, MAX_ENTRIES), ..self }
    }

    /// Sets the most bans that are kept. From 1 to 100,000,000; defaults to 100,000.
    pub fn max_bans(self, max_bans: usize) -> Self {
        Self { max_bans: max_bans.clamp(1, MAX_ENTRIES), ..self }
    }

    /// Takes the time from `clock`. Defaults to the [`SystemClock`](crate::SystemClock).
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Makes the store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        let table = Table::new(self.max_keys);
        let clock = self.clock.map_or(StoreClock::System, StoreClock::Given);
        let is_real_time = !clock.may_step_back();
        let behind = if is_real_time { 0 } else { BEHIND };
        MemoryStore(Arc::new(Shared {
            origin: Timestamp::from_micros(clock.now().as_micros().saturating_sub(behind)),
            clock,
            bans: Bans::new(self.max_bans, table.segments(), is_real_time),
            table,
            counter_ids: CounterIds::new(),
        }))
    }
}

impl Default for MemoryStoreBuilder {
    fn default() -> Self {
        let MemoryLimits { keys, bans, .. } = MemoryLimits::default();
        Self { max_keys: keys, max_bans: bans, clock: None }
    }
}

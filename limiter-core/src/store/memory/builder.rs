//! Setting up a memory store.

use std::{
    hash::RandomState,
    sync::{Arc, Mutex},
};

use super::{MemoryStore, Shared, bans::Bans, stripe::Stripe};
use crate::{
    store::choice::{Caps, MAX_ENTRIES},
    time::{Clock, SystemClock},
};

/// How many keys a stripe holds at most. All of a client's state is in one
/// stripe, whose lock makes a check atomic.
const STRIPE: usize = 64;

/// Sets up a [`MemoryStore`].
#[derive(Debug)]
#[must_use]
pub struct MemoryStoreBuilder {
    max_keys: usize,
    max_bans: usize,
    clock: Option<Arc<dyn Clock>>,
}

impl MemoryStoreBuilder {
    /// How many counters (and strike counts) are kept at most, one for each
    /// policy and key. From 1 to 100,000,000; defaults to 1,000,000.
    pub fn max_keys(self, max_keys: usize) -> Self {
        Self { max_keys: max_keys.clamp(1, MAX_ENTRIES), ..self }
    }

    /// How many bans are kept at most. From 1 to 100,000,000; defaults to 100,000.
    pub fn max_bans(self, max_bans: usize) -> Self {
        Self { max_bans: max_bans.clamp(1, MAX_ENTRIES), ..self }
    }

    /// Takes the time from `clock`. Defaults to the [`SystemClock`].
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Makes the store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        let stripes = self.max_keys.div_ceil(STRIPE);
        let room = |place| self.max_keys / stripes + usize::from(place < self.max_keys % stripes);
        MemoryStore(Arc::new(Shared {
            hasher: RandomState::new(),
            stripes: (0..stripes).map(|place| Mutex::new(Stripe::new(room(place)))).collect(),
            bans: Bans::new(self.max_bans, stripes, self.clock.is_none()),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
        }))
    }
}

impl Default for MemoryStoreBuilder {
    fn default() -> Self {
        let Caps { keys, bans, .. } = Caps::default();
        Self { max_keys: keys, max_bans: bans, clock: None }
    }
}

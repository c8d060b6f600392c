//! Bounds of the state in memory: of the memory store, and of its stand-in during an
//! outage.

#![cfg_attr(
    not(all(feature = "config", feature = "memory")),
    allow(dead_code, reason = "the configuration sets them, the memory store obeys them")
)]

/// The most keys or bans that the memory store may be configured to hold.
pub(crate) const MAX_ENTRIES: usize = 100_000_000;

/// The most state that the memory store may hold, be it the store or its stand-in, and
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

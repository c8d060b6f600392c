//! The bans that the keys of a segment have: [`SegmentBans`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The bans that the keys of a segment have.
#[derive(Default)]
pub(super) struct SegmentBans {
    count: AtomicUsize,
    /// A Bloom filter of one hash: the bits of the keys that may have a ban. Without it, where
    /// half of the keys are banned, the others search all slots of their bucket for one. The
    /// first ban after the last is gone clears it; with bans that come and go it fills up, and
    /// is of no use then.
    filter: AtomicU64,
}

impl SegmentBans {
    pub(super) fn has_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Returns true if the key of that digest may have a ban.
    pub(super) fn may_have(&self, digest: u64) -> bool {
        self.filter.load(Ordering::Relaxed) & bit_of(digest) > 0 && self.has_any()
    }

    /// Adds a key, under the lock of the segment.
    pub(super) fn add(&self, digest: u64) {
        // Counted before the ban is there, and uncounted by the listener once it is gone: a
        // count may be high for a moment, never low.
        let kept = match self.count.fetch_add(1, Ordering::Relaxed) {
            0 => 0,
            _ => self.filter.load(Ordering::Relaxed),
        };
        self.filter.store(kept | bit_of(digest), Ordering::Relaxed);
    }

    /// Removes a ban that is gone. The filter keeps its bit.
    pub(super) fn remove(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bit of a key in a filter: not by the lowest two bits of its digest, which choose a line.
#[inline]
const fn bit_of(digest: u64) -> u64 {
    1 << ((digest >> 2) % 64)
}

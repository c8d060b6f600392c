//! Passing over the [fast path](super::fast_path) where it charges little.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{dialect::Charged, fast_path::FastPath};

/// Batches that go the general way at once, behind one of which the fast path has charged less
/// than a half: where keys are new, or are refused, it is a round trip for nothing.
const PASSED_OVER: u32 = 8;

/// The batches that are still to pass over the fast path.
#[derive(Debug, Default)]
pub(in crate::store) struct PassOver(AtomicU32);

impl PassOver {
    /// Returns true if this batch passes over the fast path.
    pub(in crate::store) fn is_due(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// Learns how many checks of a batch were charged.
    pub(in crate::store) fn observe(&self, checks: &FastPath, replies: &Charged) {
        if 2 * replies.iter().flatten().count() < checks.len() {
            self.0.store(PASSED_OVER, Ordering::Relaxed);
        }
    }
}

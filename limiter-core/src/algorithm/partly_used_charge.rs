//! The usage of a charge of which only a part is used: that of a lease.

use super::{AlgorithmUsage, Counting, Summary, Usage};

impl Usage<Summary> {
    /// Returns the usage right after a charge, without the last `units` of that.
    pub(crate) fn without_last(mut self, units: u64) -> Self {
        let (mark, Self { quota, now, used }) = (self.mark(), &mut self);
        match used {
            AlgorithmUsage::Gcra(used) => used.give_back(quota, *now, units, mark),
            AlgorithmUsage::FixedWindow(used) => used.give_back(quota, *now, units, mark),
            AlgorithmUsage::SlidingWindow(used) => used.give_back(quota, *now, units, mark),
            AlgorithmUsage::StrictWindow(used) => used.give_back_newest(units),
        }
        self
    }

    /// Returns the microseconds for which a charge would go into the same window, or segment,
    /// as one now; `None` for a bucket.
    pub(crate) fn same_window_for(&self) -> Option<u64> {
        match &self.used {
            AlgorithmUsage::Gcra(_) => None,
            AlgorithmUsage::FixedWindow(window) => Some(window.next_end()),
            AlgorithmUsage::SlidingWindow(windows) => Some(windows.left(&self.quota, self.now)),
            AlgorithmUsage::StrictWindow(summary) => {
                Some(summary.newest_end(&self.quota).saturating_sub(self.now.as_micros()))
            }
        }
    }
}

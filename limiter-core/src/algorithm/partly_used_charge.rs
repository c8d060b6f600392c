//! The usage of a charge of which only a part is used: that of a lease.

use super::{Counting, Summary, Usage, by_algorithm};

impl Usage<Summary> {
    /// Returns the usage right after a charge, without the last `units` of that.
    pub(crate) fn without_last(mut self, units: u64) -> Self {
        let Self { quota, now, used } = &mut self;
        by_algorithm!(used, used => used.give_back_last(quota, *now, units));
        self
    }

    /// Returns the microseconds for which a charge would go into the same window, or segment,
    /// as one now; `None` for a bucket.
    pub(crate) fn same_window_for(&self) -> Option<u64> {
        by_algorithm!(&self.used, used => used.same_window_for(&self.quota, self.now))
    }
}

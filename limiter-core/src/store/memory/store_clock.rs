//! The clock of a memory store: [`StoreClock`].

use std::sync::Arc;

use crate::time::{Clock, SystemClock, Timestamp};

/// The system's clock, which a check reads without an indirect call, or one that was given.
#[derive(Clone, Debug)]
pub(super) enum StoreClock {
    System,
    Given(Arc<dyn Clock>),
}

impl StoreClock {
    #[allow(clippy::inline_always, reason = "see one_bucket")]
    #[inline(always)]
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemClock.now(),
            Self::Given(clock) => clock.now(),
        }
    }

    /// Returns true if it may step back, which the clock of the system never does.
    #[inline]
    pub(super) const fn may_step_back(&self) -> bool {
        matches!(self, Self::Given(_))
    }
}

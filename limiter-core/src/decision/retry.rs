//! How long a request has to wait: [`Retry`].

use std::time::Duration;

use crate::algorithm::Wait;

/// How long the same request has to wait, if nothing else arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Retry {
    /// Not at all.
    Now,
    /// Exactly so long: it passes then, and not a microsecond earlier.
    After(Duration),
    /// For ever: its cost is more than the quota ever holds.
    Never,
}

impl Retry {
    pub(super) const fn after(wait: Wait) -> Self {
        match wait {
            Wait::None => Self::Now,
            Wait::Micros(micros) => Self::After(Duration::from_micros(micros)),
            Wait::Never => Self::Never,
        }
    }
}

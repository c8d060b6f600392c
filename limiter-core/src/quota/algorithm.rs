//! The names of the algorithms: [`Algorithm`].

use crate::name::words;

/// How a [`Quota`](crate::Quota) counts. Each is a pure function in a file of its own.
///
/// | | state | admitted at worst in any window of that length |
/// |---|---|---|
/// | `Gcra` | one instant | `burst + limit - 1`, that is `2 * limit - 1` without a burst of its own |
/// | `FixedWindow` | start and count | `2 * limit - 1`, all of it within an instant |
/// | `SlidingWindow` | start and two counts | `2 * limit - 1`, at most `limit` of it within an instant |
/// | `StrictWindow` | start and up to `n + 1` counts | `limit` |
///
/// A worst case needs a client that rests and then aims at it; one that keeps
/// asking is admitted `limit` times a window in the long run by the first three, and
/// `n / (n + 1)` of it at least by `StrictWindow`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// The generic cell rate algorithm: a token bucket kept as one instant.
    /// Units come back one by one, every `window / limit`.
    #[default]
    Gcra,
    /// `limit` units in a window that starts at the key's first request, or
    /// [at a set time](crate::Quota::with_window_start).
    FixedWindow,
    /// Two counters on windows aligned to the epoch; the older one fades out
    /// in proportion, rounded up.
    SlidingWindow,
    /// Never more than `limit` units in any window, wherever it begins: counts of `n`
    /// segments of the window and of one more ([`Quota::with_segments`](crate::Quota::with_segments)). A refusal comes
    /// at most `1 / n` of a window too early.
    StrictWindow,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: &'static [Self] =
        &[Self::Gcra, Self::FixedWindow, Self::SlidingWindow, Self::StrictWindow];

    /// The name used in configuration: `gcra`, `fixed_window`, `sliding_window`,
    /// `strict_window`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gcra => "gcra",
            Self::FixedWindow => "fixed_window",
            Self::SlidingWindow => "sliding_window",
            Self::StrictWindow => "strict_window",
        }
    }
}

words!(Algorithm:
    "gcra" => Self::Gcra,
    "fixed_window" => Self::FixedWindow,
    "sliding_window" => Self::SlidingWindow,
    "strict_window" => Self::StrictWindow,
);

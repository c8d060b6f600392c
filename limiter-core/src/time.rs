//! Instants and clocks: the only module that reads the time.
//!
//! Instants are whole microseconds since the Unix epoch, so that they fit a
//! `u64`, a PostgreSQL `timestamptz`, Redis' `TIME` and a Lua double alike.
//! Everything below a [`Store`](crate::Store) takes the instant as an argument;
//! only stores hold a [`Clock`], and a test gives them a [`ManualClock`]:
//!
//! ```
//! use std::time::Duration;
//! use limiter_core::{Clock, ManualClock, Timestamp};
//!
//! let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
//! clock.advance(Duration::from_millis(1));
//! assert_eq!(clock.now(), Timestamp::from_micros(1_001_000));
//! ```

mod system_clock;

#[cfg(feature = "sqlite")]
use std::time::{SystemTime, UNIX_EPOCH};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use self::system_clock::SystemClock;

/// An instant: whole microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Returns the instant `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this instant; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros_since(earlier))
    }

    /// Returns the instant `duration` later, or the last one that can be represented.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.after_micros(micros(duration))
    }

    pub(crate) const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) const fn after_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// Returns the whole microseconds of a duration, at most `u64::MAX`.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A source of the present instant, for stores.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// Reads the host's wall clock, for state that several processes of one host share:
/// [`SystemClock`] would differ between them. It may step.
#[cfg(feature = "sqlite")]
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp(micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

/// A clock that moves only when it is set, for tests that replay exact instants.
///
/// Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    /// Moves the clock, forwards or backwards, to `now`.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the clock forwards by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.set(self.now().after(duration));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

//! How much is allowed in how long: [`Quota`], and the list a policy holds.
//!
//! ```
//! use limiter_core::{Algorithm, Quota, Quotas};
//!
//! let quota: Quota = "10/s burst 20".parse()?;
//! assert_eq!((quota.limit(), quota.burst()), (10, 20));
//! assert_eq!(quota, Quota::per_second(10)?.with_burst(20)?);
//!
//! let both: Quotas = "10/second; 1000/hour".parse()?;
//! assert_eq!(both.to_string(), "10/1s; 1000/1h");
//!
//! let window = "5/minute".parse::<Quota>()?.with_algorithm(Algorithm::SlidingWindow)?;
//! assert_eq!(window.algorithm(), Algorithm::SlidingWindow);
//!
//! let error = "10/fortnight".parse::<Quota>().unwrap_err().to_string();
//! assert!(error.contains("fortnight"), "{error}");
//! # Ok::<(), limiter_core::QuotaError>(())
//! ```

mod algorithm;
mod error;
mod parse;
mod quotas;
mod window_start;

use std::time::Duration;

pub use self::algorithm::Algorithm;
pub use self::error::QuotaError;
pub(crate) use self::parse::Length;
#[cfg(feature = "config")]
pub(crate) use self::parse::parse_duration;
pub use self::quotas::Quotas;
use crate::time::micros;

/// The largest `limit` and `burst`: what an RFC 9651 Integer holds (15 digits).
pub const MAX_UNITS: u64 = 999_999_999_999_999;

/// The most quotas of one policy. Each is read and written by every check.
pub const MAX_QUOTAS: usize = 16;

/// The longest window: 3660 days, ten years and a bit.
pub const MAX_WINDOW: Duration = Duration::from_secs(3660 * 86_400);

/// The segments of a strict window that sets no others: refusals come at most a twelfth
/// of the window too early.
pub const DEFAULT_SEGMENTS: u8 = 12;

/// The most segments of a strict window. Each is a count in the stored state.
pub const MAX_SEGMENTS: u8 = 60;

/// The longest time a full bucket may take to drain (a hundred years), so that
/// every instant a store keeps stays below 2^53 microseconds until 2155.
pub(crate) const MAX_DRAIN: u128 = 36_525 * 86_400 * 1_000_000;

/// `limit` units per `window`, counted by one [`Algorithm`].
///
/// Every value in range is checked when the quota is built, never when it is
/// used: limit and burst are 1 to [`MAX_UNITS`], the window is a whole number
/// of microseconds up to [`MAX_WINDOW`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Quota {
    limit: u64,
    window: u64,
    burst: u64,
    algorithm: Algorithm,
    /// Segments of [`Algorithm::StrictWindow`]; 0 for any other algorithm.
    segments: u8,
    /// Seconds after the epoch at which fixed windows begin, or `NO_START`. In seconds it
    /// takes no room: every usage holds a quota.
    start: u32,
}

/// Fixed windows that begin at the key's first request.
const NO_START: u32 = u32::MAX;

impl Quota {
    /// `limit` units per `window`, by [`Algorithm::Gcra`], with a bucket of
    /// `limit` units.
    ///
    /// # Errors
    /// If a number is out of range or the window is not whole microseconds.
    pub fn new(limit: u64, window: Duration) -> Result<Self, QuotaError> {
        check_units("limit", limit)?;
        if window.is_zero() || window > MAX_WINDOW {
            return Err(QuotaError::Window);
        }
        if !window.subsec_nanos().is_multiple_of(1_000) {
            return Err(QuotaError::SubMicrosecond);
        }
        Ok(Self {
            limit,
            window: micros(window),
            burst: limit,
            algorithm: Algorithm::Gcra,
            segments: 0,
            start: NO_START,
        })
    }

    /// `limit` units per second. See [`Quota::new`].
    ///
    /// # Errors
    /// If the limit is out of range.
    pub fn per_second(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_secs(1))
    }

    /// `limit` units per minute. See [`Quota::new`].
    ///
    /// # Errors
    /// If the limit is out of range.
    pub fn per_minute(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_secs(60))
    }

    /// `limit` units per hour. See [`Quota::new`].
    ///
    /// # Errors
    /// If the limit is out of range.
    pub fn per_hour(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_secs(3_600))
    }

    /// `limit` units per day of 24 hours. See [`Quota::new`].
    ///
    /// # Errors
    /// If the limit is out of range.
    pub fn per_day(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_secs(86_400))
    }

    /// Sets the size of the bucket: how many units may be taken at once after
    /// a rest. Defaults to the limit.
    ///
    /// # Errors
    /// If the burst is out of range, would take over a hundred years to
    /// refill, or the algorithm has no bucket.
    pub fn with_burst(self, burst: u64) -> Result<Self, QuotaError> {
        check_units("burst", burst)?;
        if self.algorithm != Algorithm::Gcra {
            return Err(QuotaError::BurstWithWindow(self.algorithm.as_str()));
        }
        if u128::from(burst) * u128::from(self.window) > MAX_DRAIN * u128::from(self.limit) {
            return Err(QuotaError::Drain);
        }
        Ok(Self { burst, ..self })
    }

    /// Sets how the quota counts. Defaults to [`Algorithm::Gcra`]. A strict window has
    /// [`DEFAULT_SEGMENTS`], unless [`with_segments`](Self::with_segments) has set others.
    ///
    /// # Errors
    /// If the quota has a burst of its own and the algorithm has no bucket, or its windows
    /// begin at a set time and the algorithm is not [`Algorithm::FixedWindow`].
    pub fn with_algorithm(self, algorithm: Algorithm) -> Result<Self, QuotaError> {
        if algorithm != Algorithm::Gcra && self.burst != self.limit {
            return Err(QuotaError::BurstWithWindow(algorithm.as_str()));
        }
        if algorithm != Algorithm::FixedWindow && self.start != NO_START {
            return Err(QuotaError::NoStart(algorithm.as_str()));
        }
        let segments = match algorithm {
            Algorithm::StrictWindow if self.segments == 0 => DEFAULT_SEGMENTS,
            Algorithm::StrictWindow => self.segments,
            _ => 0,
        };
        Ok(Self { algorithm, segments, ..self })
    }

    /// Sets into how many segments a strict window is divided: 1 to [`MAX_SEGMENTS`].
    /// More of them refuse less early, and take more memory. Each is `window / segments`
    /// long, rounded up to a microsecond.
    ///
    /// # Errors
    /// If the number is out of range, or the algorithm is not
    /// [`Algorithm::StrictWindow`].
    pub fn with_segments(self, segments: u8) -> Result<Self, QuotaError> {
        if self.algorithm != Algorithm::StrictWindow {
            return Err(QuotaError::NoSegments(self.algorithm.as_str()));
        }
        if !(1..=MAX_SEGMENTS).contains(&segments) {
            return Err(QuotaError::Segments(segments));
        }
        Ok(Self { segments, ..self })
    }

    /// Counts by [`Algorithm::FixedWindow`], in windows that begin `start` after the Unix
    /// epoch, which is a Thursday at midnight UTC, and one after the other: at the same
    /// time for all keys, such as at midnight.
    ///
    /// There is no summer time: the windows are as long on every day. The window has to
    /// divide a day, or to be a week; `start` is cut to whole minutes, and to less than a
    /// window.
    ///
    /// ```
    /// use std::time::Duration;
    /// use limiter_core::Quota;
    ///
    /// // At four in the morning where clocks are two hours ahead of UTC.
    /// let daily = Quota::per_day(1000)?.with_window_start(Duration::from_secs(2 * 3600))?;
    /// assert_eq!(daily, "1000/day from 04:00 +02:00".parse()?);
    /// assert_eq!(daily.to_string(), "1000/1d from 02:00 UTC");
    /// # Ok::<(), limiter_core::QuotaError>(())
    /// ```
    ///
    /// # Errors
    /// If the quota has a burst of its own, or the windows are of another length.
    pub fn with_window_start(self, start: Duration) -> Result<Self, QuotaError> {
        window_start::check_window(&self)?;
        let counted = self.with_algorithm(Algorithm::FixedWindow)?;
        let start = start.as_secs() / 60 * 60 % (self.window / 1_000_000);
        Ok(Self { start: u32::try_from(start).unwrap_or(0), ..counted })
    }

    /// Units per window.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The length of the window.
    #[must_use]
    pub const fn window(&self) -> Duration {
        Duration::from_micros(self.window)
    }

    /// The most units one request can take: the bucket, or the limit where
    /// there is none.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// How the quota counts.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Into how many segments a strict window is divided; 0 with any other algorithm.
    #[must_use]
    pub const fn segments(&self) -> u8 {
        self.segments
    }

    /// The time after the Unix epoch at which windows begin, where that is set.
    #[must_use]
    pub const fn window_start(&self) -> Option<Duration> {
        match self.start {
            NO_START => None,
            start => Some(Duration::from_secs(start as u64)),
        }
    }

    /// The microseconds after the Unix epoch at which windows begin, where that is set.
    pub(crate) const fn start_micros(&self) -> Option<u64> {
        match self.start {
            NO_START => None,
            start => Some(start as u64 * 1_000_000),
        }
    }

    pub(crate) const fn window_micros(&self) -> u64 {
        self.window
    }

    /// The same quota with `factor` times the units, as far as they fit.
    pub(crate) fn scaled(&self, factor: u64) -> Self {
        let times = |units: u64| units.saturating_mul(factor).min(MAX_UNITS);
        Self { limit: times(self.limit), burst: times(self.burst), ..*self }
    }

    /// The same quota with one of `parts` parts of the units, one at least, and
    /// as many as a request costs that would fit into the whole.
    pub(crate) fn divided(&self, parts: u32, cost: u64) -> Self {
        let least = if cost <= self.burst { cost.max(1) } else { 1 };
        let part = |units: u64| (units / u64::from(parts)).max(least);
        Self { limit: part(self.limit), burst: part(self.burst), ..*self }
    }
}

fn check_units(name: &'static str, units: u64) -> Result<(), QuotaError> {
    if (1..=MAX_UNITS).contains(&units) { Ok(()) } else { Err(QuotaError::Units { name, units }) }
}

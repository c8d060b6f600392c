//! Never more than `limit` units in any window, wherever it begins: units are counted
//! by segments of the window, and a segment counts until a whole window after its end.
//!
//! A window is divided into `n` segments (12 by default), aligned to the epoch, each
//! of `window / n` microseconds, rounded up. So up to `n + 1` of them count at a time:
//!
//! ```text
//!             |<----------- window ----------->|
//!      |  0  |  1  |  2  |     ...      | n-1 |  n  |
//!            ^ counts until a window later    ^ now
//! ```
//! - *Strict*: of a unit charged at `t` the segment ends after `t`, so that it counts
//!   until after `t + window`. All units of any half-open interval as long as the window
//!   therefore count at the last of them, which passed only if they were within the
//!   limit.
//! - *At most one segment late*: the segment of `t` ends at `t + window / n` at the
//!   latest. So whatever is refused here passes at most `window / n` (rounded up) later
//!   than by an exact log of the same charges.
//!
//! A log of `limit` instants for each key would be exact; this is bounded by `n + 1`
//! counts. `n` segments instead of `n + 1`, as elsewhere, admit twice the limit in a
//! window. (Figma counts so: "An alternative approach to rate limiting", 2017.)

mod outage_segments;
mod summary;

use self::outage_segments::AgedSegment;
pub(crate) use self::summary::Summary;
#[cfg(feature = "memory")]
use super::Numbers;
use super::{Arithmetic, Counting, Mark, QuotaUsage, State, Wait, charge_beyond};
#[cfg(feature = "memory")]
use super::{Ring, UsageBound, WordEncoding};
use crate::{quota::Quota, time::Timestamp};

/// The segments that count, up to the newest one that was charged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segments {
    /// When the newest one began. It may lie ahead of now, if the clock has stepped back:
    /// until the clock catches up, it is the one that is charged.
    start: u64,
    /// Units used in each, the newest first; neither the first nor the last is zero.
    used: Box<[u64]>,
}

/// Bits of a word of the memory store that counts take. The other 32 tell the segment
/// apart, for 11 years if it is 83 ms long; after that, and where the counts need more,
/// the state is kept whole.
#[cfg(feature = "memory")]
const WORD_BITS: u32 = 24;

/// The length of a segment in microseconds.
const fn length(quota: &Quota) -> u64 {
    quota.window_micros().div_ceil(quota.segments() as u64)
}

/// How many segments count at a time at most.
fn max_segments(quota: &Quota) -> usize {
    usize::from(quota.segments()) + 1
}

/// When the segment of that instant began.
const fn start_of(micros: u64, quota: &Quota) -> u64 {
    micros - micros % length(quota)
}

/// Until when a segment counts, so many places before the one that begins at `start`.
const fn until(quota: &Quota, start: u64, place: usize) -> u64 {
    let begins = start.saturating_sub(length(quota).saturating_mul(place as u64));
    begins.saturating_add(length(quota)).saturating_add(quota.window_micros())
}

impl Segments {
    fn none() -> Self {
        Self { start: 0, used: Box::default() }
    }

    /// Returns those of the segments that still count, without zeros at the ends.
    fn counting(quota: &Quota, start: u64, used: &[u64], now: Timestamp) -> Self {
        // A start over a window ahead of now comes of a clock that stepped back.
        if start > now.as_micros().saturating_add(quota.window_micros()) {
            return Self::none();
        }
        let unused = used.iter().take_while(|units| **units == 0).count();
        let start = start.saturating_sub(length(quota).saturating_mul(unused as u64));
        let used = &used[unused..];
        let counts = |place: &usize| until(quota, start, *place) > now.as_micros();
        let counting = (0..used.len().min(max_segments(quota))).take_while(counts).count();
        match used[..counting].iter().rposition(|units| *units > 0) {
            Some(oldest) => Self { start, used: used[..=oldest].into() },
            None => Self::none(),
        }
    }

    /// When the segment began that is charged at `now`.
    fn current(&self, quota: &Quota, now: Timestamp) -> u64 {
        start_of(now.as_micros(), quota).max(self.start)
    }

    fn total(&self) -> u64 {
        self.used.iter().fold(0, |total, units| total.saturating_add(*units))
    }

    /// Returns the units of the segment that begins at `start`. The oldest that can be
    /// kept stands for those before it.
    fn units_mut(&mut self, quota: &Quota, start: u64) -> &mut u64 {
        let (length, most) = (length(quota), max_segments(quota));
        if self.used.is_empty() {
            *self = Self { start, used: [0].into() };
        }
        let newer = (start.saturating_sub(self.start) / length).min(most as u64) as usize;
        let place = (self.start.saturating_sub(start) / length).min(most as u64 - 1) as usize;
        if newer > 0 || place >= self.used.len() {
            let used = std::iter::repeat_n(0, newer).chain(self.used.iter().copied());
            let len = (newer + self.used.len()).max(place + 1).min(most);
            let used = used.chain(std::iter::repeat(0)).take(len).collect();
            *self = Self { start: self.start.max(start), used };
        }
        &mut self.used[place]
    }
}

impl Arithmetic for Segments {
    fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        match state {
            Some(State::StrictWindow { start, used }) => {
                Self::counting(quota, start_of(start, quota), &used, now)
            }
            _ => Self::none(),
        }
    }

    fn state(&self, _: &Quota, _: Timestamp) -> Option<State> {
        (!self.used.is_empty())
            .then(|| State::StrictWindow { start: self.start, used: self.used.clone() })
    }

    /// Until the newest segment that leaves too little room has ceased to count.
    fn wait(&self, quota: &Quota, now: Timestamp, cost: u64) -> Wait {
        let room = quota.limit().saturating_sub(cost);
        let mut used = 0_u64;
        let is_too_much = |units: &u64| {
            used = used.saturating_add(*units);
            used > room
        };
        match self.used.iter().position(is_too_much) {
            Some(place) => {
                Wait::Micros(until(quota, self.start, place).saturating_sub(now.as_micros()))
            }
            None => Wait::None,
        }
    }

    fn charge(&mut self, quota: &Quota, now: Timestamp, cost: u64) {
        if cost > 0 {
            let units = self.units_mut(quota, self.current(quota, now));
            *units = units.saturating_add(cost);
        }
    }

    fn remaining(&self, quota: &Quota, _: Timestamp) -> u64 {
        quota.limit().saturating_sub(self.total())
    }

    fn reset_after(&self, quota: &Quota, now: Timestamp) -> u64 {
        match self.used.is_empty() {
            true => 0,
            false => until(quota, self.start, 0).saturating_sub(now.as_micros()),
        }
    }

    fn mark(&self, _: &Quota, _: Timestamp) -> Mark {
        Mark::at(self.start)
    }

    #[cfg(feature = "memory")]
    fn word(&self, encoding: &WordEncoding, _: Timestamp, origin: Timestamp) -> Option<u64> {
        let quota = encoding.quota();
        let fields = fields(encoding);
        if !(1..=fields).contains(&self.used.len()) {
            return None;
        }
        let index = (self.start / length(quota)).checked_sub(origin.as_micros() / length(quota))?;
        let mut units = [0; WORD_BITS as usize];
        units[..self.used.len()].copy_from_slice(&self.used);
        encoding.join(index, &units[..fields])
    }

    #[cfg(feature = "memory")]
    fn of_word(encoding: &WordEncoding, word: u64, now: Timestamp, origin: Timestamp) -> Self {
        let (quota, fields) = (encoding.quota(), fields(encoding) as u32);
        let index = encoding.before(word, fields) + origin.as_micros() / length(quota);
        let used: Numbers = (0..fields).rev().map(|field| encoding.units(word, field)).collect();
        let start = index.saturating_mul(length(quota));
        Self::counting(quota, start, &used, now)
    }

    #[cfg(feature = "memory")]
    fn bound(&self, quota: &Quota, _: Timestamp) -> UsageBound {
        UsageBound { used: self.total(), until: until(quota, self.start, 0) }
    }
}

impl Counting for Segments {
    fn charge_beyond(&mut self, quota: &Quota, now: Timestamp, units: u64) -> u64 {
        if units == 0 {
            return 0;
        }
        charge_beyond(self.units_mut(quota, self.current(quota, now)), units)
    }

    /// Into the segment of that mark, as long as it counts.
    fn give_back(&mut self, quota: &Quota, now: Timestamp, units: u64, mark: Mark) {
        let before = self.start.checked_sub(mark.at);
        let before = before.filter(|micros| micros.is_multiple_of(length(quota)));
        let place = before.and_then(|micros| usize::try_from(micros / length(quota)).ok());
        if let Some(used) = place.and_then(|place| self.used.get_mut(place)) {
            *used = used.saturating_sub(units);
            *self = Self::counting(quota, self.start, &self.used, now);
        }
    }

    #[cfg(feature = "memory")]
    fn share_mark(share: &QuotaUsage, _: u64, charged_at: Timestamp) -> Option<Mark> {
        Some(Mark::at(start_of(charged_at.as_micros(), &share.quota)))
    }

    /// Segment by segment, each as if it had been used at its last instant: the segments
    /// of the two clocks need not begin together.
    fn add_share(
        &mut self,
        quota: &Quota,
        now: Timestamp,
        share: &QuotaUsage,
        their_now: Timestamp,
    ) {
        for AgedSegment { age, units } in AgedSegment::all(quota, share, their_now) {
            let start = start_of(now.as_micros().saturating_sub(age), quota);
            let used = self.units_mut(quota, start);
            *used = (*used).max(used.saturating_add(units).min(quota.limit()));
        }
        *self = Self::counting(quota, self.start, &self.used, now);
    }

    /// The length of a segment, and how many count at a time at most.
    #[cfg(feature = "redis")]
    fn script_params(quota: &Quota, _: u64) -> [u64; 6] {
        [length(quota), max_segments(quota) as u64, 0, 0, 0, 0]
    }

    /// All of it in one segment: the first that counts for long enough, or the present
    /// one, in which the last can have been used.
    #[cfg(feature = "memory")]
    fn from_bound(quota: &Quota, bound: UsageBound, now: Timestamp) -> State {
        let length = length(quota);
        let ended = bound.until.saturating_sub(quota.window_micros());
        let start = ended.saturating_sub(length).div_ceil(length) * length;
        let used = [bound.used].into();
        State::StrictWindow { start: start.min(start_of(now.as_micros(), quota)), used }
    }

    #[cfg(feature = "memory")]
    fn ring(quota: &Quota) -> Ring {
        Ring { tick: (quota.window_micros() + length(quota)).div_ceil(3), ticks: 5, levels: 3 }
    }
}

/// How many segments have their units in a word of the memory store.
#[cfg(feature = "memory")]
fn fields(encoding: &WordEncoding) -> usize {
    (encoding.fields(WORD_BITS) as usize).min(max_segments(encoding.quota()))
}

#[cfg(test)]
mod tests;

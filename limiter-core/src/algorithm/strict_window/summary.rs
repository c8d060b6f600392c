//! The summary of a strict window in a decision. Its segments would make every decision
//! larger; the summary is three numbers that answer as the segments do at that instant.

#[cfg(feature = "_shared")]
use super::length;
use super::{Arithmetic, Mark, Segments, State, Wait, start_of, until};
#[cfg(feature = "memory")]
use super::{UsageBound, WordEncoding};
use crate::{quota::Quota, time::Timestamp};

/// The segments that count, in three numbers.
///
/// Later than the instant it is of, it counts all units until the last of them ceases to
/// count, so never too few.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Summary {
    /// Units used in all segments.
    used: u64,
    /// When the newest one that was charged began.
    start: u64,
    /// When the oldest one ceases to count, and its units are there again.
    next: u64,
}

impl Summary {
    pub(in crate::algorithm) fn of(segments: &Segments, quota: &Quota) -> Self {
        let Segments { start, ref used } = *segments;
        let next = until(quota, start, used.len().saturating_sub(1));
        Self { used: segments.total(), start, next }
    }

    /// See [`Counting::give_back_last`](super::super::Counting::give_back_last).
    #[cfg(feature = "_shared")]
    pub(in crate::algorithm) fn give_back_last(&mut self, _: &Quota, _: Timestamp, units: u64) {
        self.used = self.used.saturating_sub(units);
    }

    /// See [`Counting::same_window_for`](super::super::Counting::same_window_for): until the
    /// segment ends that was charged last.
    #[cfg(feature = "_shared")]
    pub(in crate::algorithm) fn same_window_for(
        &self,
        quota: &Quota,
        now: Timestamp,
    ) -> Option<u64> {
        let end = self.start.saturating_add(length(quota));
        Some(end.saturating_sub(now.as_micros()))
    }
}

impl Arithmetic for Summary {
    fn at(quota: &Quota, state: Option<State>, now: Timestamp) -> Self {
        Self::of(&Segments::at(quota, state, now), quota)
    }

    fn state(&self, _: &Quota, _: Timestamp) -> Option<State> {
        let used = [self.used].into();
        (self.used > 0).then_some(State::StrictWindow { start: self.start, used })
    }

    /// Exact for one unit more than there is. For others the wait is known that was
    /// found with the segments (`QuotaStatus::wait`).
    fn wait(&self, quota: &Quota, now: Timestamp, cost: u64) -> Wait {
        let remaining = self.remaining(quota, now);
        let at = match cost {
            _ if cost <= remaining => return Wait::None,
            _ if cost == remaining + 1 => self.next,
            _ => until(quota, self.start, 0),
        };
        Wait::Micros(at.saturating_sub(now.as_micros()))
    }

    fn charge(&mut self, quota: &Quota, now: Timestamp, cost: u64) {
        self.start = start_of(now.as_micros(), quota).max(self.start);
        if self.used == 0 {
            self.next = until(quota, self.start, 0);
        }
        self.used = self.used.saturating_add(cost);
    }

    fn mark(&self, _: &Quota, _: Timestamp) -> Mark {
        Mark::at(self.start)
    }

    fn remaining(&self, quota: &Quota, _: Timestamp) -> u64 {
        quota.limit().saturating_sub(self.used)
    }

    fn reset_after(&self, quota: &Quota, now: Timestamp) -> u64 {
        match self.used {
            0 => 0,
            _ => until(quota, self.start, 0).saturating_sub(now.as_micros()),
        }
    }

    /// No word: a charge of it would lose the segments.
    #[cfg(feature = "memory")]
    fn word(&self, _: &WordEncoding, _: Timestamp, _: Timestamp) -> Option<u64> {
        None
    }

    #[cfg(feature = "memory")]
    fn of_word(encoding: &WordEncoding, word: u64, now: Timestamp, origin: Timestamp) -> Self {
        Self::of(&Segments::of_word(encoding, word, now, origin), encoding.quota())
    }

    #[cfg(feature = "memory")]
    fn bound(&self, quota: &Quota, _: Timestamp) -> UsageBound {
        UsageBound { used: self.used, until: until(quota, self.start, 0) }
    }
}

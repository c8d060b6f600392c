//! State as Redis keeps it: whole numbers of eight bytes each, the highest byte
//! first, which Lua reads and writes much faster than text.
//!
//! ```text
//! counter = state* kept_until                  one a quota, in the policy's order
//! state   = tat fraction limit burst           gcra
//!         | start used                         fixed window
//!         | start current previous             sliding window, and strikes
//! ban     = until duration
//! ```
//! `kept_until` is an instant at which the key is still there, or 0: where it lies
//! late enough, a change leaves the time to live as it is. Replies, and what is
//! given back, have no `kept_until`. Zeros stand for nothing used. What is of another length counts as nothing: a
//! store that was written to by something else starts anew, and does not fail.

use crate::{
    algorithm::State,
    ban::Ban,
    quota::Algorithm,
    store::remote::backend::{NamedItem, StoredState},
    time::Timestamp,
};

/// The bytes of a counter behind its states.
pub(super) const RECORD_END: usize = 8;

/// Reads numbers, one after the other.
pub(super) struct Numbers<'a>(&'a [u8]);

impl<'a> Numbers<'a> {
    pub(super) const fn new(encoding: &'a [u8]) -> Self {
        Self(encoding)
    }

    pub(super) fn next(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was kept of an item; `None` if that is not all there.
    pub(super) fn kept(&mut self, item: &NamedItem, now: Timestamp) -> Option<StoredState> {
        let mut kept = StoredState { now, ..StoredState::default() };
        for quota in item.policy.quotas().iter() {
            kept.states.push(self.state(quota.algorithm())?);
        }
        if item.policy.ban().is_some() {
            kept.ban = self.ban()?;
            kept.strikes = self.state(Algorithm::SlidingWindow)?;
        }
        Some(kept)
    }

    pub(super) fn state(&mut self, algorithm: Algorithm) -> Option<Option<State>> {
        let mut next = || self.next();
        let state = match algorithm {
            Algorithm::Gcra => {
                State::Gcra { tat: next()?, fraction: next()?, limit: next()?, burst: next()? }
            }
            Algorithm::FixedWindow => State::FixedWindow { start: next()?, used: next()? },
            Algorithm::SlidingWindow => {
                State::SlidingWindow { start: next()?, current: next()?, previous: next()? }
            }
        };
        Some(Some(state).filter(|state| numbers_of(*state).iter().any(|number| *number > 0)))
    }

    fn ban(&mut self) -> Option<Option<Ban>> {
        let until = Timestamp::from_micros(self.next()?);
        let ban = Ban { until, duration: self.next()? };
        Some(Some(ban).filter(|ban| ban.until > Timestamp::default()))
    }
}

/// Reads a ban.
pub(super) fn parse_ban(encoding: &[u8]) -> Option<Ban> {
    let mut numbers = Numbers::new(encoding);
    numbers.ban()?.filter(|_| numbers.is_empty())
}

/// A counter, to be written.
pub(super) fn counter(
    item: &NamedItem,
    states: impl IntoIterator<Item = Option<State>>,
) -> Vec<u8> {
    let states = states.into_iter().chain(std::iter::repeat(None));
    let mut encoding = Vec::with_capacity(32);
    for (quota, state) in item.policy.quotas().iter().zip(states) {
        let numbers = match state {
            Some(state) => numbers_of(state),
            None => [0; 4],
        };
        write(&mut encoding, numbers[..length(quota.algorithm())].iter().copied());
    }
    encoding
}

/// How many bytes an item's counter has.
pub(super) fn counter_length(item: &NamedItem) -> u64 {
    let numbers: usize = item.policy.quotas().iter().map(|quota| length(quota.algorithm())).sum();
    8 * numbers as u64
}

pub(super) fn write(encoding: &mut Vec<u8>, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|number| encoding.extend(number.to_be_bytes()));
}

const fn length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Gcra => 4,
        Algorithm::FixedWindow => 2,
        Algorithm::SlidingWindow => 3,
    }
}

const fn numbers_of(state: State) -> [u64; 4] {
    match state {
        State::Gcra { tat, fraction, limit, burst } => [tat, fraction, limit, burst],
        State::FixedWindow { start, used } => [start, used, 0, 0],
        State::SlidingWindow { start, current, previous } => [start, current, previous, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::Subject, key::Key, policy::Policy, quota::Quotas};

    fn item() -> NamedItem {
        let quota = |text: &str, algorithm| {
            text.parse::<crate::Quota>().unwrap().with_algorithm(algorithm).unwrap()
        };
        let quotas = Quotas::new(vec![
            quota("2/1s", Algorithm::Gcra),
            quota("3/1m", Algorithm::FixedWindow),
            quota("4/1h", Algorithm::SlidingWindow),
        ]);
        let policy = Policy::new("api", quotas.unwrap()).unwrap();
        let subject = Subject { key: Key::global(), bannable: true };
        NamedItem { policy, subject, client: "global".to_owned() }
    }

    #[test]
    fn what_is_written_is_read() {
        let states = [
            Some(State::Gcra { tat: u64::MAX, fraction: 1, limit: 2, burst: 3 }),
            None,
            Some(State::SlidingWindow { start: 6, current: 7, previous: 8 }),
        ];
        let item = item();
        let encoding = counter(&item, states);
        assert_eq!(encoding.len(), 8 * (4 + 2 + 3));
        let now = Timestamp::from_micros(5);
        let kept = Numbers::new(&encoding).kept(&item, now).unwrap();
        assert_eq!((&kept.states[..], kept.now), (&states[..], now));
        assert!(Numbers::new(&encoding[1..]).kept(&item, now).is_none());
    }

    #[test]
    fn a_ban_of_another_length_counts_as_none() {
        let ban = Ban { until: Timestamp::from_micros(258), duration: 3 };
        let mut encoding = Vec::new();
        write(&mut encoding, [258, 3]);
        assert_eq!(encoding, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(parse_ban(&encoding), Some(ban));
        for foreign in [&encoding[..8], b"17000,20", b"", &[encoding.clone(), vec![0]].concat()] {
            assert_eq!(parse_ban(foreign), None);
        }
    }
}

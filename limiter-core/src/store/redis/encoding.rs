//! State as Redis keeps it: whole numbers of eight bytes each, the highest byte
//! first, which Lua reads and writes much faster than text.
//!
//! ```text
//! counter = state* kept_until                  one a quota, in the policy's order
//! state   = the numbers of a State, as many as one of its quota can have: zeros
//!           fill the rest; strikes are the state of a sliding window
//! ban     = until duration count
//! ```
//! `kept_until` is an instant at which the key is still there, or 0: where it lies
//! late enough, a change leaves the time to live as it is. Replies have no `kept_until`.
//! Zeros stand for nothing used. Bytes of another length count as nothing: a store that
//! was written to by something else starts anew, and does not fail.

use smallvec::{SmallVec, smallvec};

use crate::{
    algorithm::{State, max_numbers},
    ban::Ban,
    policy::Policy,
    quota::{Algorithm, Quota},
    store::remote::{
        backend::{NamedItem, StoredState},
        state_rows::States,
    },
    time::Timestamp,
};

/// The bytes of a counter behind its states.
pub(super) const RECORD_END: usize = 8;

/// The numbers of strikes.
const STRIKE_NUMBERS: usize = 3;

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

    /// Returns the stored state of an item; `None` if bytes are missing.
    pub(super) fn kept(&mut self, item: &NamedItem, now: Timestamp) -> Option<StoredState> {
        let mut kept = StoredState { now, ..StoredState::default() };
        for quota in item.policy.quotas().iter() {
            kept.states.push(self.state(quota)?);
        }
        if item.policy.ban().is_some() {
            kept.ban = self.ban()?;
            kept.strikes = self.strikes()?;
        }
        Some(kept)
    }

    pub(super) fn state(&mut self, quota: &Quota) -> Option<Option<State>> {
        self.state_of(quota.algorithm(), max_numbers(quota))
    }

    fn strikes(&mut self) -> Option<Option<State>> {
        self.state_of(Algorithm::SlidingWindow, STRIKE_NUMBERS)
    }

    fn state_of(&mut self, algorithm: Algorithm, length: usize) -> Option<Option<State>> {
        let numbers: Option<SmallVec<[u64; 4]>> = (0..length).map(|_| self.next()).collect();
        Some(State::of_numbers(algorithm, &numbers?))
    }

    fn ban(&mut self) -> Option<Option<Ban>> {
        let until = Timestamp::from_micros(self.next()?);
        let (duration, count) = (self.next()?, self.next()?);
        let ban = Ban { until, duration, count: u32::try_from(count).unwrap_or(u32::MAX) };
        Some(Some(ban).filter(|ban| ban.until > Timestamp::default()))
    }
}

/// Reads a ban.
pub(super) fn parse_ban(encoding: &[u8]) -> Option<Ban> {
    let mut numbers = Numbers::new(encoding);
    numbers.ban()?.filter(|_| numbers.is_empty())
}

/// A counter, as the scripts write it.
/// Reads the states of a counter of that policy, one a quota, or strikes, which are of no
/// policy. Bytes of another length count as nothing.
pub(super) fn read_states(policy: Option<&Policy>, bytes: &[u8]) -> States {
    let states = |numbers: &mut Numbers<'_>| match policy {
        Some(policy) => policy.quotas().iter().map(|quota| numbers.state(quota)).collect(),
        None => Some(States::from_iter([numbers.strikes()?])),
    };
    let end = if policy.is_some() { RECORD_END } else { 0 };
    let mut numbers = Numbers::new(&bytes[..bytes.len().saturating_sub(end)]);
    states(&mut numbers).filter(|_| numbers.is_empty()).unwrap_or_default()
}

/// Returns the bytes of a counter of that policy, or of strikes.
pub(super) fn write_states(
    policy: Option<&Policy>,
    states: &[Option<State>],
    kept_until: u64,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    let lengths: SmallVec<[usize; 2]> = match policy {
        Some(policy) => policy.quotas().iter().map(max_numbers).collect(),
        None => smallvec![STRIKE_NUMBERS],
    };
    for (length, state) in lengths.into_iter().zip(states) {
        let numbers = state.as_ref().map(State::numbers).unwrap_or_default();
        write(&mut bytes, numbers.into_iter().chain(std::iter::repeat(0)).take(length));
    }
    if policy.is_some() {
        write(&mut bytes, [kept_until]);
    }
    bytes
}

/// Returns the bytes of a ban.
pub(super) fn write_ban(ban: Ban) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    write(&mut bytes, [ban.until.as_micros(), ban.duration, ban.count.into()]);
    bytes
}

/// How many bytes an item's counter has.
pub(super) fn counter_length(item: &NamedItem) -> u64 {
    let numbers: usize = item.policy.quotas().iter().map(max_numbers).sum();
    8 * numbers as u64
}

pub(super) fn write(encoding: &mut Vec<u8>, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|number| encoding.extend(number.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::Subject, key::Key, quota::Quotas};

    fn item() -> NamedItem {
        let quota = |text: &str, algorithm| {
            text.parse::<Quota>().unwrap().with_algorithm(algorithm).unwrap()
        };
        let quotas = Quotas::new(vec![
            quota("2/1s", Algorithm::Gcra),
            quota("3/1m", Algorithm::FixedWindow),
            quota("4/1h", Algorithm::SlidingWindow),
            quota("5/1d", Algorithm::StrictWindow).with_segments(3).unwrap(),
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
            Some(State::StrictWindow { start: 9, used: [1, 0, 2].into() }),
        ];
        let item = item();
        let record = write_states(Some(&item.policy), &states, 7);
        assert_eq!(record.len(), 8 * (4 + 2 + 3 + 5 + 1));
        assert_eq!(read_states(Some(&item.policy), &record)[..], states);
        assert!(read_states(Some(&item.policy), &record[1..]).is_empty());
        let now = Timestamp::from_micros(5);
        let reply = &record[..record.len() - RECORD_END];
        let kept = Numbers::new(reply).kept(&item, now).unwrap();
        assert_eq!((&kept.states[..], kept.now), (&states[..], now));
        assert!(Numbers::new(&reply[1..]).kept(&item, now).is_none());
    }

    #[test]
    fn strikes_are_of_no_policy() {
        let strikes = [Some(State::SlidingWindow { start: 1, current: 2, previous: 0 })];
        let bytes = write_states(None, &strikes, 7);
        assert_eq!(bytes.len(), 24);
        assert_eq!(read_states(None, &bytes)[..], strikes);
        assert!(read_states(None, &bytes[8..]).is_empty());
    }

    #[test]
    fn a_ban_of_another_length_counts_as_none() {
        let ban = Ban { until: Timestamp::from_micros(258), duration: 3, count: 4 };
        let encoding = write_ban(ban);
        assert_eq!(encoding[16..], [0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(parse_ban(&encoding), Some(ban));
        for foreign in [&encoding[..16], b"17000,20", b"", &[encoding.clone(), vec![0]].concat()] {
            assert_eq!(parse_ban(foreign), None);
        }
    }
}

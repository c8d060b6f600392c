//! State as Redis keeps it: whole numbers, the highest byte first, which Lua reads and
//! writes much faster than text.
//!
//! ```text
//! counter = 1*( 1*state until )        first the states of the last writer's quotas, in
//!                                      their order, then those that it does not know
//! state   = id number*                 the numbers of a State, as many as the id says:
//!                                      zeros fill the rest
//! until   = 8 bytes                    when the states before it have expired
//! id      = 4 bytes                    the number of a QuotaId: its first byte is 128 or
//!                                      more, that of `until` is less
//! number  = 7 bytes
//! strikes = number number number       the state of a sliding window
//! ban     = until duration count       8 bytes each
//! ```
//! A counter of gcra quotas has 32 bytes each and 8, as `lua/fast_path.lua` reads them. Where
//! `until` lies late enough, a change leaves it and the time to live as they are.
//!
//! Replies have the states of an item's quotas alone, in their order, without `until`.
//! Zeros stand for nothing used. Bytes of another form count as nothing: a store that
//! was written to by something else starts anew, and does not fail.

use smallvec::SmallVec;

use crate::{
    algorithm::State,
    ban::Ban,
    policy::QuotaId,
    quota::Quota,
    store::remote::{
        backend::{NamedItem, StoredState},
        counter_states::{CounterStates, QuotaState},
    },
    time::Timestamp,
};

/// The bytes of an id.
const ID: usize = 4;

/// The bytes of a number of a state.
const NUMBER: usize = 7;

/// Returns the bytes of a counter of so many gcra quotas.
pub(super) const fn gcra_counter(quotas: usize) -> usize {
    quotas * (ID + 4 * NUMBER) + 8
}

/// Reads numbers, one after the other.
pub(super) struct Numbers<'a>(&'a [u8]);

impl<'a> Numbers<'a> {
    pub(super) const fn new(encoding: &'a [u8]) -> Self {
        Self(encoding)
    }

    pub(super) fn next(&mut self) -> Option<u64> {
        self.next_of::<8>()
    }

    fn next_of<const BYTES: usize>(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<BYTES>()?;
        self.0 = rest;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the stored state of an item; `None` if bytes are missing.
    pub(super) fn kept(&mut self, item: &NamedItem, now: Timestamp) -> Option<StoredState> {
        let mut kept = StoredState { now, ..StoredState::default() };
        for id in item.policy.quota_ids() {
            kept.states.push(self.state(*id)?);
        }
        if item.policy.ban().is_some() {
            kept.ban = self.ban()?;
            kept.strikes = self.numbers_of(QuotaId::STRIKES)?;
        }
        Some(kept)
    }

    /// Reads the state of the quota of that id, which stands before it.
    pub(super) fn state(&mut self, id: QuotaId) -> Option<Option<State>> {
        self.next_of::<ID>()?;
        self.numbers_of(id)
    }

    fn numbers_of(&mut self, id: QuotaId) -> Option<Option<State>> {
        let numbers: Option<SmallVec<[u64; 4]>> =
            (0..id.numbers()).map(|_| self.next_of::<NUMBER>()).collect();
        Some(State::of_numbers(id.algorithm(), &numbers?))
    }

    /// Reads the id of the next state; `None` where there is none.
    fn id(&mut self) -> Option<QuotaId> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        let id = QuotaId::from_number(u32::from_be_bytes(*bytes))?;
        self.0 = rest;
        Some(id)
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

/// Reads a counter, or strikes.
pub(super) fn read_states(bytes: &[u8]) -> CounterStates {
    let counter = || read_counter(Numbers::new(bytes));
    read_strikes(Numbers::new(bytes)).or_else(counter).unwrap_or_default()
}

fn read_strikes(mut numbers: Numbers<'_>) -> Option<CounterStates> {
    let id = QuotaId::STRIKES;
    let is_strikes = numbers.0.len() == id.numbers() * NUMBER;
    let mut strikes = CounterStates::default();
    strikes.push(QuotaState { id, state: numbers.numbers_of(id)??, until: 0 });
    Some(strikes).filter(|_| is_strikes)
}

fn read_counter(mut numbers: Numbers<'_>) -> Option<CounterStates> {
    let mut counter = CounterStates::default();
    while !numbers.is_empty() {
        let mut group: SmallVec<[(QuotaId, State); 2]> = SmallVec::new();
        while let Some(id) = numbers.id() {
            group.extend(numbers.numbers_of(id)?.map(|state| (id, state)));
        }
        let until = numbers.next()?;
        let states = group.into_iter().map(|(id, state)| QuotaState { id, state, until });
        states.for_each(|state| counter.push(state));
    }
    Some(counter)
}

/// Returns the bytes of a counter, or of strikes.
pub(super) fn write_states(states: &CounterStates) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(gcra_counter(1));
    let mut states = states.iter().peekable();
    while let Some(QuotaState { id, state, until }) = states.next() {
        let is_strikes = *id == QuotaId::STRIKES;
        if !is_strikes {
            bytes.extend(id.number().to_be_bytes());
        }
        let numbers = state.numbers().into_iter().chain(std::iter::repeat(0));
        numbers.take(id.numbers()).for_each(|number| write_number(&mut bytes, number));
        if !is_strikes && states.peek().is_none_or(|next| next.until != *until) {
            write(&mut bytes, [*until]);
        }
    }
    bytes
}

/// Writes the id of a gcra quota, its limit and its burst, as its counter begins.
pub(super) fn write_terms(bytes: &mut Vec<u8>, id: QuotaId, quota: &Quota) {
    bytes.extend(id.number().to_be_bytes());
    write_numbers(bytes, [quota.limit(), quota.burst()]);
}

/// Writes numbers as states have them.
pub(super) fn write_numbers(bytes: &mut Vec<u8>, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|number| write_number(bytes, number));
}

/// Writes counts, of two bytes each: no batch has more of anything.
pub(super) fn write_counts(bytes: &mut Vec<u8>, counts: impl IntoIterator<Item = usize>) {
    let short = |count| u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes();
    counts.into_iter().for_each(|count| bytes.extend(short(count)));
}

/// Times are below `2^53` microseconds until 2155, and units below `2^50`.
fn write_number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend(&number.min((1 << (8 * NUMBER)) - 1).to_be_bytes()[8 - NUMBER..]);
}

/// Returns the bytes of a ban.
pub(super) fn write_ban(ban: Ban) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    write(&mut bytes, [ban.until.as_micros(), ban.duration, ban.count.into()]);
    bytes
}

/// How many bytes the states of an item's quotas have.
pub(super) fn states_length(item: &NamedItem) -> u64 {
    let length = |id: &QuotaId| ID + NUMBER * id.numbers();
    item.policy.quota_ids().iter().map(length).sum::<usize>() as u64
}

pub(super) fn write(encoding: &mut Vec<u8>, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|number| encoding.extend(number.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Subject,
        key::Key,
        policy::Policy,
        quota::{Algorithm, Quotas},
    };

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
        let subject = Subject::new(Key::global());
        NamedItem { policy, subject, client: "global".to_owned() }
    }

    #[test]
    fn what_is_written_is_read() {
        let states = [
            State::Gcra { tat: (1 << 56) - 1, fraction: 1, limit: 2, burst: 3 },
            State::FixedWindow { start: 4, used: 5 },
            State::SlidingWindow { start: 6, current: 7, previous: 8 },
            State::StrictWindow { start: 9, used: [1, 0, 2].into() },
        ];
        let item = item();
        let mut counter = CounterStates::default();
        let ids = item.policy.quota_ids();
        for ((id, state), until) in ids.iter().zip(states.clone()).zip([7, 7, 7, 8]) {
            counter.push(QuotaState { id: *id, state, until });
        }
        let bytes = write_states(&counter);
        assert_eq!(bytes.len(), 4 * 4 + 7 * (4 + 2 + 3 + 5) + 2 * 8);
        assert_eq!(read_states(&bytes), counter);
        assert!(read_states(&bytes[1..]).is_empty() && read_states(&bytes[..40]).is_empty());
        let now = Timestamp::from_micros(5);
        let own = bytes.len() - 8 - (4 + 7 * 5) - 8;
        let reply = [&bytes[..own], &bytes[own + 8..bytes.len() - 8]].concat();
        assert_eq!(states_length(&item), reply.len() as u64);
        let kept = Numbers::new(&reply).kept(&item, now).unwrap();
        assert_eq!((&kept.states[..], kept.now), (&states.map(Some)[..], now));
        assert!(Numbers::new(&reply[1..]).kept(&item, now).is_none());
    }

    #[test]
    fn a_counter_of_one_bucket_begins_with_its_terms() {
        let policy = Policy::new("api", "5/second burst 9").unwrap();
        let (id, quota) = (policy.quota_ids()[0], &policy.quotas()[0]);
        let mut counter = CounterStates::default();
        let state = State::Gcra { tat: 300, fraction: 1, limit: 5, burst: 9 };
        counter.push(QuotaState { id, state: state.clone(), until: 7 });
        let bytes = write_states(&counter);
        let mut terms = Vec::new();
        write_terms(&mut terms, id, quota);
        assert_eq!((bytes.len(), &bytes[..18]), (gcra_counter(1), &terms[..]));
        assert_eq!(Numbers::new(&bytes).state(id), Some(Some(state)));
    }

    #[test]
    fn strikes_have_no_id() {
        let mut strikes = CounterStates::default();
        let state = State::SlidingWindow { start: 1, current: 2, previous: 0 };
        strikes.push(QuotaState { id: QuotaId::STRIKES, state, until: 0 });
        let bytes = write_states(&strikes);
        assert_eq!(bytes.len(), 21);
        assert_eq!(read_states(&bytes), strikes);
        assert!(read_states(&bytes[7..]).is_empty());
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

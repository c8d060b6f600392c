//! The rows that a transaction reads and writes, each once.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{LoadedRows, Transactional};
use crate::{
    algorithm::State,
    ban::Ban,
    policy::Policy,
    quota::{Algorithm, Quota},
    store::{
        remote::{
            backend::{NamedItem, StoreRequest, StoredState, parse_ban},
            storage_key,
        },
        sql::name,
    },
    time::Timestamp,
};

/// One a quota.
pub(in crate::store) type States = SmallVec<[Option<State>; 2]>;

/// Rows of both tables, as they were found, and then as they are to be.
#[derive(Default)]
pub(in crate::store) struct Rows<'r> {
    places: HashMap<(char, u64, &'r str), usize>,
    clients: Vec<&'r str>,
    counters: Vec<Counter<'r>>,
    bans: Vec<Row<Ban>>,
}

/// A counter, or strikes: these are of no policy.
struct Counter<'r> {
    policy: Option<&'r Policy>,
    row: Row<States>,
}

struct Row<T> {
    name: String,
    kept: Option<T>,
    /// When it will have expired, once it has been changed.
    expires: Option<u64>,
}

/// Where an item's rows are. There are no strikes and no ban where its client
/// is not to be banned.
#[derive(Clone, Copy)]
pub(in crate::store) struct Places {
    pub(in crate::store) counter: usize,
    pub(in crate::store) offender: Option<(usize, usize)>,
}

/// The names of the rows to read.
pub(in crate::store) struct Names<'a> {
    pub(in crate::store) counters: Vec<&'a str>,
    pub(in crate::store) bans: Vec<&'a str>,
}

/// A counter to write, or strikes.
pub(in crate::store) struct CounterRow<'a> {
    pub(in crate::store) name: &'a str,
    pub(in crate::store) states: &'a [Option<State>],
    pub(in crate::store) expires: u64,
    #[cfg(feature = "postgres")]
    pub(in crate::store) is_strikes: bool,
}

/// The rows to write, bans with when they expire; and the names of those to remove.
#[derive(Default)]
pub(in crate::store) struct Changes<'a> {
    pub(in crate::store) counters: Vec<CounterRow<'a>>,
    pub(in crate::store) gone_counters: Vec<&'a str>,
    pub(in crate::store) bans: Vec<(&'a str, Ban, u64)>,
    pub(in crate::store) gone_bans: Vec<&'a str>,
}

impl<'r> Rows<'r> {
    /// The rows of all items, and where each item's are, run by run.
    pub(in crate::store) fn of(runs: &'r [StoreRequest]) -> (Self, Vec<SmallVec<[Places; 1]>>) {
        let mut rows = Self::default();
        let places = runs.iter().map(|run| run.items.iter().map(|item| rows.add(item)).collect());
        let places = places.collect();
        (rows, places)
    }

    fn add(&mut self, item: &'r NamedItem) -> Places {
        let (scope, client) = (item.scope(), item.client.as_str());
        let counter = self.counter(('c', scope.counters, client), Some(&item.policy));
        let bannable = item.policy.ban().is_some() && item.subject.bannable;
        let offender = bannable.then(|| {
            let strikes = self.counter(('s', scope.strikes, client), None);
            let bans = &mut self.bans;
            let ban = self.places.entry(('b', scope.bans, client)).or_insert_with_key(|key| {
                bans.push(Row::new(*key));
                bans.len() - 1
            });
            (strikes, *ban)
        });
        Places { counter, offender }
    }

    fn counter(&mut self, key: (char, u64, &'r str), policy: Option<&'r Policy>) -> usize {
        let (counters, clients) = (&mut self.counters, &mut self.clients);
        *self.places.entry(key).or_insert_with(|| {
            if policy.is_some() {
                clients.push(key.2);
            }
            counters.push(Counter { policy, row: Row::new(key) });
            counters.len() - 1
        })
    }

    /// Whose rows they are; some more than once.
    pub(in crate::store) fn clients(&self) -> impl Iterator<Item = &'r str> + '_ {
        self.clients.iter().copied()
    }

    pub(in crate::store) fn names(&self) -> Names<'_> {
        Names {
            counters: self.counters.iter().map(|counter| counter.row.name.as_str()).collect(),
            bans: self.bans.iter().map(|row| row.name.as_str()).collect(),
        }
    }

    /// Takes in what was found under these names.
    pub(in crate::store) fn fill<D: Transactional>(&mut self, found: LoadedRows) {
        for (counter, text) in self.counters.iter_mut().zip(found.counters) {
            counter.row.kept = text.map(|text| match counter.policy {
                Some(policy) => D::read_states(policy.quotas().iter().map(Quota::algorithm), &text),
                None => D::read_states(std::iter::once(Algorithm::SlidingWindow), &text),
            });
        }
        for (row, text) in self.bans.iter_mut().zip(found.bans) {
            row.kept = text.as_deref().and_then(parse_ban);
        }
    }

    /// What is kept of an item.
    pub(in crate::store) fn kept(&self, places: Places, now: Timestamp) -> StoredState {
        let states = |at: usize| self.counters[at].row.kept.as_ref();
        StoredState {
            now,
            states: states(places.counter).cloned().unwrap_or_default(),
            strikes: places.offender.and_then(|(at, _)| *states(at)?.first()?),
            ban: places.offender.and_then(|(_, at)| self.bans[at].kept),
        }
    }

    pub(in crate::store) fn write_counter(
        &mut self,
        at: usize,
        states: Option<States>,
        expires: u64,
    ) {
        self.counters[at].row.write(states, expires);
    }

    pub(in crate::store) fn write_ban(&mut self, at: usize, ban: Option<Ban>, expires: u64) {
        self.bans[at].write(ban, expires);
    }

    /// What to write, in the order of the names, as every transaction does.
    pub(in crate::store) fn changes(&self) -> Changes<'_> {
        let mut changes = Changes::default();
        for counter in &self.counters {
            let Row { name, kept, expires } = &counter.row;
            match (kept, *expires) {
                (Some(states), Some(expires)) => changes.counters.push(CounterRow {
                    name,
                    states,
                    expires,
                    #[cfg(feature = "postgres")]
                    is_strikes: counter.policy.is_none(),
                }),
                (None, Some(_)) => changes.gone_counters.push(name),
                (_, None) => {}
            }
        }
        for Row { name, kept, expires } in &self.bans {
            match (kept, expires) {
                (Some(ban), Some(expires)) => changes.bans.push((name, *ban, *expires)),
                (None, Some(_)) => changes.gone_bans.push(name),
                (_, None) => {}
            }
        }
        changes.counters.sort_unstable_by_key(|counted| counted.name);
        changes.gone_counters.sort_unstable();
        changes.bans.sort_unstable_by_key(|(name, ..)| *name);
        changes.gone_bans.sort_unstable();
        changes
    }
}

impl<T> Row<T> {
    fn new((kind, scope, client): (char, u64, &str)) -> Self {
        Self { name: name(client, &storage_key::part(kind, scope)), kept: None, expires: None }
    }

    /// Where there is nothing and is to be nothing, nothing has changed.
    fn write(&mut self, value: Option<T>, expires: u64) {
        if self.kept.is_some() || value.is_some() {
            self.kept = value;
            self.expires = Some(expires);
        }
    }
}

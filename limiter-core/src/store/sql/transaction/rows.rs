//! The rows that a transaction reads and writes, each once.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{LoadedRow, LoadedRows, Transactional};
use crate::{
    algorithm::State,
    ban::Ban,
    policy::Policy,
    store::{
        remote::{
            backend::{NamedItem, StoredState, parse_ban},
            batcher::BatchEntry,
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
    /// True if nothing will be written.
    #[cfg(any(feature = "mysql", feature = "sqlite"))]
    is_look: bool,
}

/// A counter, or strikes: these are of no policy.
struct Counter<'r> {
    policy: Option<&'r Policy>,
    row: Row<States>,
}

struct Row<T> {
    name: String,
    /// The version that was read; `None` where the row is not there.
    version: Option<String>,
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

/// A counter or strikes to write.
pub(in crate::store) struct CounterRow<'a> {
    pub(in crate::store) name: &'a str,
    /// The version that was read; `None` where the row is new.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "PostgreSQL compares it"))]
    pub(in crate::store) version: Option<&'a str>,
    /// `None` where the row is to be removed.
    pub(in crate::store) states: Option<&'a [Option<State>]>,
    /// `None` where it is strikes.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "its columns need the quotas")
    )]
    pub(in crate::store) policy: Option<&'a Policy>,
    pub(in crate::store) expires_at: u64,
}

/// A ban to write.
pub(in crate::store) struct BanRow<'a> {
    pub(in crate::store) name: &'a str,
    /// The version that was read; `None` where the row is new.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "PostgreSQL compares it"))]
    pub(in crate::store) version: Option<&'a str>,
    /// `None` where the row is to be removed.
    pub(in crate::store) ban: Option<Ban>,
    pub(in crate::store) expires_at: u64,
}

/// The rows to write or to remove, in the order of their names, as every
/// transaction does.
#[derive(Default)]
pub(in crate::store) struct Changes<'a> {
    pub(in crate::store) counters: Vec<CounterRow<'a>>,
    pub(in crate::store) bans: Vec<BanRow<'a>>,
}

impl Changes<'_> {
    pub(in crate::store) const fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.bans.is_empty()
    }
}

impl<'r> Rows<'r> {
    /// The rows of all items, and where each item's are, run by run.
    pub(in crate::store) fn of(batch: &'r [BatchEntry]) -> (Self, Vec<SmallVec<[Places; 1]>>) {
        let mut rows = Self::default();
        #[cfg(any(feature = "mysql", feature = "sqlite"))]
        {
            rows.is_look = batch.iter().all(|entry| entry.request.is_look());
        }
        let places = batch
            .iter()
            .map(|entry| entry.request.items.iter().map(|item| rows.add(item)).collect())
            .collect();
        (rows, places)
    }

    fn add(&mut self, item: &'r NamedItem) -> Places {
        let (scope, client) = (item.namespaces(), item.client.as_str());
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

    /// Returns whether nothing will be written, so that no lock is needed.
    #[cfg(any(feature = "mysql", feature = "sqlite"))]
    pub(in crate::store) const fn is_look(&self) -> bool {
        self.is_look
    }

    /// Returns the clients of the rows; some more than once.
    #[cfg(feature = "mysql")]
    pub(in crate::store) fn clients(&self) -> impl Iterator<Item = &'r str> + '_ {
        self.clients.iter().copied()
    }

    pub(in crate::store) fn names(&self) -> Names<'_> {
        Names {
            counters: self.counters.iter().map(|counter| counter.row.name.as_str()).collect(),
            bans: self.bans.iter().map(|row| row.name.as_str()).collect(),
        }
    }

    /// Takes in the rows that were read.
    pub(in crate::store) fn fill<D: Transactional>(&mut self, loaded: LoadedRows) {
        for (counter, loaded) in self.counters.iter_mut().zip(loaded.counters) {
            let policy = counter.policy;
            counter.row.load(loaded, |text| Some(D::read_states(policy, text)));
        }
        for (row, loaded) in self.bans.iter_mut().zip(loaded.bans) {
            row.load(loaded, parse_ban);
        }
    }

    /// Returns the stored state of an item.
    pub(in crate::store) fn kept(&self, places: Places, now: Timestamp) -> StoredState {
        let states = |at: usize| self.counters[at].row.kept.as_ref();
        StoredState {
            now,
            states: states(places.counter).cloned().unwrap_or_default(),
            strikes: places.offender.and_then(|(at, _)| states(at)?.first()?.clone()),
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

    /// The rows to write.
    pub(in crate::store) fn changes(&self) -> Changes<'_> {
        let mut changes = Changes::default();
        for Counter { policy, row } in &self.counters {
            if let Some(expires_at) = row.change() {
                changes.counters.push(CounterRow {
                    name: &row.name,
                    version: row.version.as_deref(),
                    states: row.kept.as_deref(),
                    policy: *policy,
                    expires_at,
                });
            }
        }
        for row in &self.bans {
            if let Some(expires_at) = row.change() {
                let version = row.version.as_deref();
                changes.bans.push(BanRow { name: &row.name, version, ban: row.kept, expires_at });
            }
        }
        changes.counters.sort_unstable_by_key(|row| row.name);
        changes.bans.sort_unstable_by_key(|row| row.name);
        changes
    }
}

impl<T> Row<T> {
    fn new((kind, scope, client): (char, u64, &str)) -> Self {
        let name = name(client, &storage_key::part(kind, scope));
        Self { name, version: None, kept: None, expires: None }
    }

    fn load(&mut self, loaded: Option<LoadedRow>, read: impl FnOnce(&str) -> Option<T>) {
        if let Some(LoadedRow { version, text }) = loaded {
            self.kept = read(&text);
            self.version = Some(version);
        }
    }

    /// When the row will have expired, if it has changed. One that was not there and
    /// is not to be there has not.
    fn change(&self) -> Option<u64> {
        if self.version.is_none() && self.kept.is_none() {
            return None;
        }
        self.expires
    }

    fn write(&mut self, value: Option<T>, expires: u64) {
        self.kept = value;
        self.expires = Some(expires);
    }
}

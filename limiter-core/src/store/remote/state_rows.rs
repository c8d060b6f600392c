//! The rows that one atomic step reads and writes, each once: rows of a SQL database, or
//! keys of Redis.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{
    backend::{NamedItem, StoreRequest, StoredState},
    storage_key,
};
use crate::{algorithm::State, ban::Ban, policy::Policy, time::Timestamp};

/// One a quota.
pub(in crate::store) type States = SmallVec<[Option<State>; 2]>;

/// The rows that were read, in the order of the names. `V` is the form in which the
/// database returns values and versions: text, or the bytes of Redis.
pub(in crate::store) struct LoadedRows<V = String> {
    /// The instant by the server's clock, in microseconds.
    pub(in crate::store) now: Option<u64>,
    pub(in crate::store) counters: Vec<Option<LoadedRow<V>>>,
    pub(in crate::store) bans: Vec<Option<LoadedRow<V>>>,
}

/// A row that is there.
pub(in crate::store) struct LoadedRow<V = String> {
    /// The version of the row, where the database compares versions; else empty.
    pub(in crate::store) version: V,
    /// The state, in the encoding of the database.
    pub(in crate::store) value: V,
}

/// Counters and bans, as they were read, and then as they are written.
pub(in crate::store) struct Rows<'r, V = String> {
    places: HashMap<(char, u64, &'r str), usize>,
    counters: Vec<Counter<'r, V>>,
    bans: Vec<Row<Ban, V>>,
    /// The clients of the counters.
    #[cfg(feature = "mysql")]
    clients: Vec<&'r str>,
    /// True if nothing will be written.
    #[cfg(any(feature = "mysql", feature = "sqlite"))]
    is_look: bool,
}

/// A counter, or strikes: these are of no policy.
struct Counter<'r, V> {
    policy: Option<&'r Policy>,
    row: Row<States, V>,
}

struct Row<T, V> {
    name: String,
    /// The version that was read; `None` where the row is not there.
    version: Option<V>,
    kept: Option<T>,
    /// When it will have expired, once it has been changed.
    expires: Option<u64>,
}

/// The places of an item's rows. There are no strikes and no ban where its client
/// may not be banned.
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
pub(in crate::store) struct CounterRow<'a, V = String> {
    pub(in crate::store) name: &'a str,
    /// The version that was read; `None` where the row is new.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redis")),
        allow(dead_code, reason = "only PostgreSQL and Redis compare it")
    )]
    pub(in crate::store) version: Option<&'a V>,
    /// `None` where the row is to be removed.
    pub(in crate::store) states: Option<&'a [Option<State>]>,
    /// `None` where it is strikes.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redis")),
        allow(dead_code, reason = "only the encodings of PostgreSQL and Redis need the quotas")
    )]
    pub(in crate::store) policy: Option<&'a Policy>,
    pub(in crate::store) expires_at: u64,
}

/// A ban to write.
pub(in crate::store) struct BanRow<'a, V = String> {
    pub(in crate::store) name: &'a str,
    /// The version that was read; `None` where the row is new.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redis")),
        allow(dead_code, reason = "only PostgreSQL and Redis compare it")
    )]
    pub(in crate::store) version: Option<&'a V>,
    /// `None` where the row is to be removed.
    pub(in crate::store) ban: Option<Ban>,
    pub(in crate::store) expires_at: u64,
}

/// The rows to write or to remove, in the order of their names, as every
/// transaction does.
pub(in crate::store) struct Changes<'a, V = String> {
    pub(in crate::store) counters: Vec<CounterRow<'a, V>>,
    pub(in crate::store) bans: Vec<BanRow<'a, V>>,
}

impl<V> Changes<'_, V> {
    pub(in crate::store) const fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.bans.is_empty()
    }
}

/// Returns the name of a row, from the client's name and the part that says the kind and
/// the namespace.
pub(in crate::store) type RowName<'a> = &'a dyn Fn(&str, &str) -> String;

impl<'r, V> Rows<'r, V> {
    /// Returns the rows of all items, and the places of each request's items.
    pub(in crate::store) fn of(
        requests: impl Iterator<Item = &'r StoreRequest>,
        name: RowName<'_>,
    ) -> (Self, Vec<SmallVec<[Places; 1]>>) {
        let mut rows = Self {
            places: HashMap::new(),
            counters: Vec::new(),
            bans: Vec::new(),
            #[cfg(feature = "mysql")]
            clients: Vec::new(),
            #[cfg(any(feature = "mysql", feature = "sqlite"))]
            is_look: true,
        };
        let mut places = Vec::new();
        for request in requests {
            #[cfg(any(feature = "mysql", feature = "sqlite"))]
            {
                rows.is_look &= request.is_look();
            }
            places.push(request.items.iter().map(|item| rows.add(item, name)).collect());
        }
        (rows, places)
    }

    fn add(&mut self, item: &'r NamedItem, name: RowName<'_>) -> Places {
        let (scope, client) = (item.namespaces(), item.client.as_str());
        #[cfg(feature = "mysql")]
        self.clients.push(client);
        let counter = self.counter(('c', scope.counters, client), Some(&item.policy), name);
        let bannable = item.policy.ban().is_some() && item.subject.bannable;
        let offender = bannable.then(|| {
            let strikes = self.counter(('s', scope.strikes, client), None, name);
            let bans = &mut self.bans;
            let ban = self.places.entry(('b', scope.bans, client)).or_insert_with_key(|key| {
                bans.push(Row::new(*key, name));
                bans.len() - 1
            });
            (strikes, *ban)
        });
        Places { counter, offender }
    }

    fn counter(
        &mut self,
        key: (char, u64, &'r str),
        policy: Option<&'r Policy>,
        name: RowName<'_>,
    ) -> usize {
        let counters = &mut self.counters;
        *self.places.entry(key).or_insert_with(|| {
            counters.push(Counter { policy, row: Row::new(key, name) });
            counters.len() - 1
        })
    }

    /// Returns true if nothing will be written, so that no lock is needed.
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

    /// Takes in the rows that were read. `read_states` reads the states of a counter of
    /// that policy, or strikes, and `read_ban` a ban.
    pub(in crate::store) fn fill(
        &mut self,
        loaded: LoadedRows<V>,
        read_states: impl Fn(Option<&Policy>, &V) -> States,
        read_ban: impl Fn(&V) -> Option<Ban>,
    ) {
        for (counter, loaded) in self.counters.iter_mut().zip(loaded.counters) {
            let policy = counter.policy;
            counter.row.load(loaded, |value| Some(read_states(policy, value)));
        }
        for (row, loaded) in self.bans.iter_mut().zip(loaded.bans) {
            row.load(loaded, &read_ban);
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
    pub(in crate::store) fn changes(&self) -> Changes<'_, V> {
        let mut changes = Changes { counters: Vec::new(), bans: Vec::new() };
        for Counter { policy, row } in &self.counters {
            if let Some(expires_at) = row.change() {
                changes.counters.push(CounterRow {
                    name: &row.name,
                    version: row.version.as_ref(),
                    states: row.kept.as_deref(),
                    policy: *policy,
                    expires_at,
                });
            }
        }
        for row in &self.bans {
            if let Some(expires_at) = row.change() {
                let version = row.version.as_ref();
                changes.bans.push(BanRow { name: &row.name, version, ban: row.kept, expires_at });
            }
        }
        changes.counters.sort_unstable_by_key(|row| row.name);
        changes.bans.sort_unstable_by_key(|row| row.name);
        changes
    }
}

impl<T, V> Row<T, V> {
    fn new((kind, scope, client): (char, u64, &str), name: RowName<'_>) -> Self {
        let name = name(client, &storage_key::part(kind, scope));
        Self { name, version: None, kept: None, expires: None }
    }

    fn load(&mut self, loaded: Option<LoadedRow<V>>, read: impl FnOnce(&V) -> Option<T>) {
        if let Some(LoadedRow { version, value }) = loaded {
            self.kept = read(&value);
            self.version = Some(version);
        }
    }

    /// Returns the instant at which the row will have expired, if it has changed. One
    /// that was not there and is not written has not.
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

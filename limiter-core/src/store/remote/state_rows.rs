//! The rows that one atomic step reads and writes, each once: rows of a SQL database, or
//! keys of Redis.

mod versioned_rows;

use std::collections::HashMap;

pub(in crate::store) use self::versioned_rows::{
    BanRow, Changes, CounterRow, LoadedRow, LoadedRows, Names,
};
use super::{
    backend::{NamedItem, StoreRequest, StoredState},
    counter_states::{CounterStates, States},
    storage_key,
};
use crate::{
    ban::Ban,
    policy::{Policy, QuotaId},
    short_list::ShortList,
    time::Timestamp,
};

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
    /// The policy that it was written for.
    policy: Option<&'r Policy>,
    row: Row<CounterStates, V>,
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

/// Returns the name of a row, from the client's name and the part that says the kind and
/// the namespace.
pub(in crate::store) type RowName<'a> = &'a dyn Fn(&str, &str) -> String;

impl<'r, V> Rows<'r, V> {
    /// Returns the rows of all items, and the places of each request's items.
    pub(in crate::store) fn of(
        requests: impl Iterator<Item = &'r StoreRequest>,
        name: RowName<'_>,
    ) -> (Self, Vec<ShortList<Places>>) {
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
        let counter = self.counter(('c', scope.counters, client), name);
        let bannable = item.policy.ban().is_some() && item.subject.is_bannable();
        let offender = bannable.then(|| {
            let strikes = self.counter(('s', scope.strikes, client), name);
            let bans = &mut self.bans;
            let ban = self.places.entry(('b', scope.bans, client)).or_insert_with_key(|key| {
                bans.push(Row::new(*key, name));
                bans.len() - 1
            });
            (strikes, *ban)
        });
        Places { counter, offender }
    }

    fn counter(&mut self, key: (char, u64, &'r str), name: RowName<'_>) -> usize {
        let counters = &mut self.counters;
        *self.places.entry(key).or_insert_with(|| {
            counters.push(Counter { policy: None, row: Row::new(key, name) });
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

    /// Takes in the rows that were read. `read_states` reads a counter or strikes, and
    /// `read_ban` a ban.
    pub(in crate::store) fn fill(
        &mut self,
        loaded: LoadedRows<V>,
        read_states: impl Fn(&V) -> CounterStates,
        read_ban: impl Fn(&V) -> Option<Ban>,
    ) {
        for (counter, loaded) in self.counters.iter_mut().zip(loaded.counters) {
            counter.row.load(loaded, |value| Some(read_states(value)));
        }
        for (row, loaded) in self.bans.iter_mut().zip(loaded.bans) {
            row.load(loaded, &read_ban);
        }
    }

    /// Returns the stored state of a request's items, in their order.
    pub(in crate::store) fn kept(
        &self,
        request: &StoreRequest,
        places: &[Places],
        now: Timestamp,
    ) -> Vec<StoredState> {
        let states = |at: usize| self.counters[at].row.kept.as_ref();
        let kept = |(item, places): (&NamedItem, &Places)| StoredState {
            now,
            states: states(places.counter)
                .map(|kept| kept.of(item.policy.quota_ids()))
                .unwrap_or_default(),
            strikes: places.offender.and_then(|(at, _)| states(at)?.get(QuotaId::STRIKES)),
            ban: places.offender.and_then(|(_, at)| self.bans[at].kept),
        };
        request.items.iter().zip(places).map(kept).collect()
    }

    /// Writes the states of an item's quotas, which expire at `until`.
    pub(in crate::store) fn write_counter(
        &mut self,
        at: usize,
        item: &'r NamedItem,
        states: States,
        until: u64,
        now: Timestamp,
    ) {
        let counter = &mut self.counters[at];
        counter.policy = Some(&item.policy);
        counter.row.replace(item.policy.quota_ids(), states, until, now);
    }

    pub(in crate::store) fn write_strikes(
        &mut self,
        at: usize,
        states: States,
        until: u64,
        now: Timestamp,
    ) {
        self.counters[at].row.replace(&[QuotaId::STRIKES], states, until, now);
    }

    /// Removes all states of a counter.
    pub(in crate::store) fn remove_counter(&mut self, at: usize) {
        self.counters[at].row.write(None, 0);
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
                    states: row.kept.as_ref(),
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

impl<V> Row<CounterStates, V> {
    fn replace(&mut self, ids: &[QuotaId], states: States, until: u64, now: Timestamp) {
        let mut kept = self.kept.take().unwrap_or_default();
        kept.replace(ids, states, until, now);
        let expires = kept.until().max(until);
        self.write(Some(kept).filter(|kept| !kept.is_empty()), expires);
    }
}

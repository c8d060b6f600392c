//! Bans, in moka: apart from the counters, under a cap of their own.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use moka::{Expiry, policy::EvictionPolicy, sync::Cache};

use super::table::{Group, SETS};
use crate::{ban::Ban, key::Key, store::Banned};

/// A ban's scope (a policy or a group) and key, and the place of its set.
type Name = (u64, Key, usize);

/// Every ban in force or not yet forgotten.
///
/// Calls for one key are made under the lock of its set.
pub(super) struct Bans {
    cache: Cache<Name, Entry>,
    /// Which count the bans of their keys. Shared with the listener that hears of
    /// evictions, which may run under any set's lock and so must not take one.
    groups: Arc<[Group]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ban: Ban,
    keep: Duration,
}

impl Bans {
    /// `real_time` says whether the store's clock runs like moka's own, so that
    /// moka may drop what has been forgotten by then.
    pub(super) fn new(max: usize, groups: &Arc<[Group]>, real_time: bool) -> Self {
        let listened = Arc::clone(groups);
        let builder = Cache::builder()
            .max_capacity(max as u64)
            // The default, TinyLFU, may refuse a newcomer: a ban that never began.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |name: Arc<Name>, _, _| {
                listened[name.2 / SETS].bans.fetch_sub(1, Ordering::Relaxed);
            });
        let cache = match real_time {
            true => builder.expire_after(Forgotten).build(),
            false => builder.build(),
        };
        Self { cache, groups: Arc::clone(groups) }
    }

    /// Whether a key of that set, or of one in its group, has a ban.
    pub(super) fn any(&self, place: usize) -> bool {
        self.groups[place / SETS].bans.load(Ordering::Relaxed) > 0
    }

    pub(super) fn get(&self, place: usize, scope: u64, key: &Key) -> Option<Ban> {
        if !self.any(place) {
            return None;
        }
        self.cache.get(&(scope, key.clone(), place)).map(|entry| entry.ban)
    }

    /// All bans of a policy or group, past ones included.
    pub(super) fn of(&self, scope: u64) -> impl Iterator<Item = Banned> + '_ {
        let named = move |(name, entry): (Arc<Name>, Entry)| {
            (name.0 == scope).then(|| Banned { key: name.1.clone(), ban: entry.ban })
        };
        self.cache.iter().filter_map(named)
    }

    /// Keeps `ban`, or drops what is kept if there is none; `keep` says for
    /// how long it matters.
    pub(super) fn set(
        &self,
        place: usize,
        scope: u64,
        key: &Key,
        ban: Option<Ban>,
        keep: impl FnOnce(&Ban) -> Duration,
    ) {
        let known = self.get(place, scope, key);
        if known == ban {
            return;
        }
        let name = (scope, key.clone(), place);
        match ban {
            None => self.cache.invalidate(&name),
            Some(ban) => {
                // Counted before it is there, and uncounted by the listener
                // once it is gone: a count may be high for a moment, never low.
                self.groups[place / SETS].bans.fetch_add(1, Ordering::Relaxed);
                self.cache.insert(name, Entry { ban, keep: keep(&ban) });
            }
        }
    }
}

impl fmt::Debug for Bans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bans({})", self.cache.entry_count())
    }
}

/// Lets moka drop a ban once it is forgotten: expiry as garbage collection.
struct Forgotten;

impl Expiry<Name, Entry> for Forgotten {
    fn expire_after_create(&self, _: &Name, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.keep)
    }

    fn expire_after_update(
        &self,
        _: &Name,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.keep)
    }
}

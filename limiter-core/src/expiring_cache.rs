//! Bounded caches of values that expire, by the namespaces and keys of a check: `moka`. A
//! full one evicts the value that was not used for longest.
//!
//! All are one type of `moka`'s, whatever they keep: each type more adds 146 KB to a
//! program.

use std::{
    any::Any,
    hash::{BuildHasherDefault, Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, policy::EvictionPolicy, sync::Cache};

use crate::{
    key::{Key, mix},
    short_list::ShortList,
};

/// A cache of values of one type, which are kept as any value.
pub(crate) struct ExpiringCache<V> {
    cache: AnyCache,
    values: PhantomData<fn() -> V>,
}

type AnyCache = Cache<CacheKey, Entry, BuildHasherDefault<CacheKeyHasher>>;

/// Namespaces or limits of policies, each with the key that it counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CacheKey {
    pub(crate) parts: ShortList<CacheKeyPart>,
    /// The cost of a check, where it matters.
    pub(crate) cost: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CacheKeyPart {
    pub(crate) namespace: u64,
    pub(crate) key: Key,
    /// True if the key may be banned, where it matters.
    pub(crate) bannable: bool,
}

impl CacheKey {
    pub(crate) fn of(namespace: u64, key: &Key) -> Self {
        let part = CacheKeyPart { namespace, key: key.clone(), bannable: false };
        Self { parts: ShortList::of_one(part), cost: 0 }
    }
}

impl Hash for CacheKey {
    /// Hashes the [keyed hashes](Key::keyed_hash) of the keys, which nobody can choose: by
    /// SipHash, all their bytes took half of a lookup.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let hash = self.parts.iter().fold(self.cost, |hash, part| {
            let context = part.namespace.wrapping_add(part.bannable.into());
            mix(hash ^ context).wrapping_add(part.key.keyed_hash())
        });
        state.write_u64(mix(hash));
    }
}

/// Returns the hash of a [`CacheKey`] as it is.
#[derive(Default)]
struct CacheKeyHasher(u64);

impl Hasher for CacheKeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(mix(self.0 ^ u64::from(*byte))));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A value, and for how long it is kept.
#[derive(Clone)]
struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    keep: Option<Duration>,
}

impl Entry {
    fn value<V: Send + Sync + 'static>(self) -> Option<Arc<V>> {
        self.value.downcast().ok()
    }
}

impl<V: Send + Sync + 'static> ExpiringCache<V> {
    /// Makes a cache of that many values. What nobody has touched for `idle` is removed.
    pub(crate) fn new(capacity: u64, idle: Option<Duration>) -> Self {
        Self { cache: cache(capacity, idle, None), values: PhantomData }
    }

    /// Makes a cache that calls `removed` for each value that is removed or replaced.
    pub(crate) fn with_listener(
        capacity: u64,
        removed: impl Fn(&V) + Send + Sync + 'static,
    ) -> Self {
        let removed = move |value: &(dyn Any + Send + Sync)| {
            if let Some(value) = value.downcast_ref() {
                removed(value);
            }
        };
        Self { cache: cache(capacity, None, Some(Box::new(removed))), values: PhantomData }
    }

    pub(crate) fn get(&self, key: &CacheKey) -> Option<Arc<V>> {
        self.cache.get(key)?.value()
    }

    pub(crate) fn contains(&self, key: &CacheKey) -> bool {
        self.cache.contains_key(key)
    }

    /// Keeps a value, for so long if that is given.
    pub(crate) fn insert(&self, key: CacheKey, value: V, keep: Option<Duration>) {
        self.cache.insert(key, Entry { value: Arc::new(value), keep });
    }

    pub(crate) fn remove(&self, key: &CacheKey) -> Option<Arc<V>> {
        self.cache.remove(key)?.value()
    }

    pub(crate) fn clear(&self) {
        self.cache.invalidate_all();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Arc<CacheKey>, Arc<V>)> + '_ {
        self.cache.iter().filter_map(|(key, entry)| Some((key, entry.value()?)))
    }

    /// How many values are kept.
    pub(crate) fn count(&self) -> u64 {
        self.cache.entry_count()
    }

    /// How many values may be kept.
    pub(crate) fn capacity(&self) -> u64 {
        self.cache.policy().max_capacity().unwrap_or(u64::MAX)
    }
}

type Listener = Box<dyn Fn(&(dyn Any + Send + Sync)) + Send + Sync>;

fn cache(capacity: u64, idle: Option<Duration>, listener: Option<Listener>) -> AnyCache {
    let mut builder = Cache::builder()
        .max_capacity(capacity)
        // The default, TinyLFU, may refuse a newcomer: a ban that never began.
        .eviction_policy(EvictionPolicy::lru())
        .expire_after(OnceKept);
    if let Some(idle) = idle {
        builder = builder.time_to_idle(idle);
    }
    if let Some(listener) = listener {
        builder =
            builder.eviction_listener(move |_, entry: Entry, _| listener(entry.value.as_ref()));
    }
    builder.build_with_hasher(BuildHasherDefault::default())
}

/// Removes a value once it was kept for as long as it says.
struct OnceKept;

impl Expiry<CacheKey, Entry> for OnceKept {
    fn expire_after_create(&self, _: &CacheKey, entry: &Entry, _: Instant) -> Option<Duration> {
        entry.keep
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        entry.keep
    }
}

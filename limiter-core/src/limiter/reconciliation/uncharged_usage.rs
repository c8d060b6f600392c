//! Pending usages: the outage usage of many keys, in 56 bytes for each quota of a key.
//!
//! An entry has no key but a hash of it, under a secret of the process, so that nobody
//! can make two keys meet. Of a million keys two meet by chance with a probability of
//! 3 in 100 million; they are charged for one another then.
//!
//! The entries of a shard are a sorted list. A hash table of entries of this size leaves
//! a third of its memory empty on average, and twice as much while it grows; here 8
//! entries of a shard are empty at most, and an insertion moves 6 KB.

mod entry;

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    ops::Range,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use self::entry::{Entry, WaitingQuota};

use crate::{
    check::Item, outage_usage::OutageUsage, policy::Policy, short_list::ShortList, time::Timestamp,
};

/// The average number of entries of a shard when the table is full.
const SHARD: usize = 256;

/// By how many entries a shard grows.
const GROWTH: usize = 8;

/// The usage of one key that is to be charged to the store.
#[derive(Debug)]
pub(super) struct PendingUsage {
    pub(super) usage: OutageUsage,
    /// True if it is charged only after the store has answered for the key.
    pub(super) waits: bool,
}

impl PendingUsage {
    pub(super) fn none(item: Item<'_>, now: Timestamp) -> Self {
        Self { usage: OutageUsage::new(item.policy, now), waits: false }
    }
}

pub(super) struct PendingUsages {
    /// Made when first written: most stores never fail.
    shards: OnceLock<Box<[Mutex<Shard>]>>,
    hasher: RandomState,
    capacity: usize,
    /// The entries of all shards.
    len: AtomicUsize,
    /// Seconds after which an untouched entry is forgotten.
    max_age: AtomicU32,
}

/// A part of the entries, in the order of their hashes; the entries of the quotas of one
/// key have one hash, and the parts of one quota lie in their order.
#[derive(Default)]
struct Shard {
    entries: Vec<Entry>,
    /// When expired entries were removed last, in seconds.
    swept: u32,
}

impl PendingUsages {
    /// Holds `capacity` entries, one for each quota of a key.
    pub(super) fn new(capacity: usize, longest: Duration) -> Self {
        Self {
            shards: OnceLock::new(),
            hasher: RandomState::new(),
            capacity,
            len: AtomicUsize::new(0),
            max_age: AtomicU32::new(whole_seconds(longest)),
        }
    }

    /// Forgets untouched entries no sooner than that.
    pub(super) fn keep_for(&self, longest: Duration) {
        self.max_age.fetch_max(whole_seconds(longest), Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Returns the usage of an item.
    pub(super) fn get(&self, item: Item<'_>, now: Timestamp) -> Option<PendingUsage> {
        let (hash, shards) = (self.hash(item), self.shards.get()?);
        let shard = &shards[hash as usize & (shards.len() - 1)];
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.read(shard.find(hash), item.policy, now)
    }

    /// Replaces the usage of an item by what `change` returns.
    pub(super) fn update(
        &self,
        item: Item<'_>,
        now: Timestamp,
        change: impl FnOnce(Option<PendingUsage>) -> Option<PendingUsage>,
    ) {
        self.update_within(usize::MAX, item, now, change);
    }

    /// The same; returns false and does nothing if the item has none yet and there is no
    /// room.
    pub(super) fn update_if_room(
        &self,
        item: Item<'_>,
        now: Timestamp,
        change: impl FnOnce(Option<PendingUsage>) -> Option<PendingUsage>,
    ) -> bool {
        self.update_within(self.capacity, item, now, change)
    }

    fn update_within(
        &self,
        capacity: usize,
        item: Item<'_>,
        now: Timestamp,
        change: impl FnOnce(Option<PendingUsage>) -> Option<PendingUsage>,
    ) -> bool {
        let (hash, now_seconds) = (self.hash(item), seconds(now));
        let shards = self.shards.get_or_init(|| self.empty_shards());
        let shard = &shards[hash as usize & (shards.len() - 1)];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let expired = shard.sweep(now_seconds, self.max_age.load(Ordering::Relaxed));
        self.len.fetch_sub(expired, Ordering::Relaxed);

        let place = shard.find(hash);
        let before = shard.read(place.clone(), item.policy, now);
        let mut after = shard.of_other_quotas(place.clone(), item.policy);
        if let Some(PendingUsage { usage, waits }) = change(before) {
            after.extend(usage.packed(item.policy).map(|(id, usage)| Entry {
                hash,
                usage,
                touched: now_seconds,
                quota: WaitingQuota::new(id, waits),
            }));
        }
        let is_new = place.is_empty() && !after.is_empty();
        if is_new && self.len.load(Ordering::Relaxed) >= capacity {
            return false;
        }
        self.len.fetch_add(after.len(), Ordering::Relaxed);
        self.len.fetch_sub(place.len(), Ordering::Relaxed);
        shard.replace(place, &after);
        true
    }

    /// Forgets the usage of an item, also by quotas that it does not have.
    pub(super) fn remove(&self, item: Item<'_>) {
        let (hash, Some(shards)) = (self.hash(item), self.shards.get()) else { return };
        let shard = &shards[hash as usize & (shards.len() - 1)];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let place = shard.find(hash);
        self.len.fetch_sub(place.len(), Ordering::Relaxed);
        shard.replace(place, &[]);
    }

    /// Policies of one namespace share their usage, though their limits and their quotas may
    /// differ.
    fn hash(&self, item: Item<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(item.policy.namespaces().counters);
        item.subject.key.hash(&mut hasher);
        hasher.finish()
    }

    fn empty_shards(&self) -> Box<[Mutex<Shard>]> {
        let shards = self.capacity.div_ceil(SHARD).next_power_of_two();
        (0..shards).map(|_| Mutex::default()).collect()
    }

    /// Bytes that are allocated.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        let shards = self.shards.get().map_or(&[][..], |shards| shards);
        let entries = |shard: &Mutex<Shard>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).entries.capacity()
        };
        size_of_val(shards) + size_of::<Entry>() * shards.iter().map(entries).sum::<usize>()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

impl Shard {
    /// Removes expired entries, and returns how many. Does so once in the time that an
    /// entry may live, so that none lives longer than twice that.
    fn sweep(&mut self, now: u32, max_age: u32) -> usize {
        if now.saturating_sub(self.swept) <= max_age {
            return 0;
        }
        let before = self.entries.len();
        self.entries.retain(|entry| now.saturating_sub(entry.touched) <= max_age);
        self.swept = now;
        self.free_unused();
        before - self.entries.len()
    }

    fn find(&self, hash: u64) -> Range<usize> {
        let start = self.entries.partition_point(|entry| entry.hash < hash);
        let same = self.entries[start..].iter().take_while(|entry| entry.hash == hash).count();
        start..start + same
    }

    fn read(&self, place: Range<usize>, policy: &Policy, now: Timestamp) -> Option<PendingUsage> {
        let own = self.entries[place].iter().filter(|entry| entry.is_of(policy));
        let waits = own.clone().next()?.quota.waits();
        let packed = own.filter_map(|entry| Some((entry.quota.id()?, entry.usage)));
        Some(PendingUsage { usage: OutageUsage::unpack(policy, packed, now), waits })
    }

    fn of_other_quotas(&self, place: Range<usize>, policy: &Policy) -> ShortList<Entry> {
        self.entries[place].iter().filter(|entry| !entry.is_of(policy)).copied().collect()
    }

    fn replace(&mut self, place: Range<usize>, after: &[Entry]) {
        let added = after.len().saturating_sub(place.len());
        if self.entries.capacity() - self.entries.len() < added {
            self.entries.reserve_exact(added.max(GROWTH));
        }
        self.entries.splice(place, after.iter().copied());
        self.free_unused();
    }

    /// Frees memory once half of it is unused.
    fn free_unused(&mut self) {
        let len = self.entries.len();
        if len == 0 {
            self.entries = Vec::new();
        } else if self.entries.capacity() > 2 * (len + GROWTH) {
            self.entries.shrink_to(len + GROWTH);
        }
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn seconds(now: Timestamp) -> u32 {
    u32::try_from(now.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}

impl fmt::Debug for PendingUsages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PendingUsages({})", self.len.load(Ordering::Relaxed))
    }
}

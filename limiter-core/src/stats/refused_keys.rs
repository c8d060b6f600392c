//! The keys that a policy has refused most in the last ten minutes.
//!
//! Input: refused keys, each with its instant. Output: the keys with the most
//! refusals, each with bounds of its count. A space-saving summary (Metwally,
//! Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
//! Streams", 2005) for each minute: however many keys there are, 256 are kept, and a
//! key with more than 1/256 of a minute's refusals is among them.
//!
//! Threads note the present minute in eight shards, and a minute that has ended is merged
//! with those of the other shards: with one shard, two threads that refused one key took
//! three times as long as one. A refusal that finds its shard locked by another thread is
//! not noted, so that no request waits here, but for the first of a shard in a minute: it
//! merges up to 512 keys. Of a flood, a sample is noted.

mod counts;
mod position_table;
mod sampling;
mod summary;

use std::sync::{
    Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{AtomicU64, Ordering},
};

use serde::Serialize;

use self::{
    counts::Counts,
    sampling::{Draw, EXACT, WEIGHT},
    summary::Summary,
};
use crate::{key::Key, quota::Quota, time::Timestamp};

/// Minutes that are kept.
const MINUTES: u64 = 10;

/// Microseconds of a minute.
const MINUTE: u64 = 60_000_000;

const SHARDS: usize = 8;

/// A key that a policy has refused, or would have refused in the shadow.
///
/// The counts are bounds while the policy refuses at most 4,096 requests a minute. Of a flood,
/// a sample of one refusal in eight is noted, each for eight: then the counts are estimates,
/// 10,000 refusals to within 5 % in 94 of 100 minutes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RefusedKey {
    /// The key. A part that may be secret is shown as a mark.
    pub key: Key,
    /// How often it was refused, at most.
    pub count: u64,
    /// How many of these refusals may have been other keys': at least `count - error`
    /// were its own.
    pub error: u64,
    /// The first refusal that is known, by the clock of this host.
    pub first_seen: Timestamp,
    /// The last refusal.
    pub last_seen: Timestamp,
    /// The quota that made it wait longest at the last refusal; `None` if a ban
    /// refused it.
    pub quota: Option<Quota>,
}

/// The refused keys of one policy. Without a refusal it holds nothing.
#[derive(Debug, Default)]
pub(crate) struct RefusedKeys {
    shards: [Shard; SHARDS],
    /// The minutes that have ended, in no order. Locked after a shard, never before one.
    ended: Mutex<Vec<EndedMinute>>,
}

/// Two cache lines, since processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// The end of the last minute in which it has noted so many that it samples.
    sampled_until: AtomicU64,
    present: Mutex<Option<PresentMinute>>,
}

/// A refusal as it is noted.
#[derive(Clone, Copy)]
struct NotedRefusal<'a> {
    digest: u64,
    key: &'a Key,
    quota: Option<Quota>,
    now: Timestamp,
    /// How many refusals it stands for.
    weight: u64,
}

/// The minute that some threads note refusals in.
#[derive(Debug)]
struct PresentMinute {
    /// The instant at which it ends, in microseconds since the epoch.
    end: u64,
    noted: u32,
    summary: Summary,
}

/// A minute in which at least one shard has noted its last refusal.
#[derive(Debug)]
struct EndedMinute {
    end: u64,
    counts: Counts,
}

impl RefusedKeys {
    /// Notes a refusal of a key of that [keyed hash](Key::keyed_hash). Returns false if
    /// another thread holds the lock: it is not noted.
    #[inline]
    pub(crate) fn note(
        &self,
        digest: u64,
        key: &Key,
        quota: Option<Quota>,
        now: Timestamp,
    ) -> bool {
        let Draw { shard, is_sampled } = sampling::draw();
        let shard = &self.shards[shard];
        let samples = now.as_micros() < shard.sampled_until.load(Ordering::Relaxed);
        if samples && !is_sampled {
            return true;
        }
        let weight = if samples { WEIGHT } else { 1 };
        self.note_in(shard, NotedRefusal { digest, key, quota, now, weight })
    }

    #[inline(never)]
    fn note_in(&self, shard: &Shard, refusal: NotedRefusal<'_>) -> bool {
        let mut present = match shard.present.try_lock() {
            Ok(present) => present,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let minute = match &mut *present {
            // A clock that has stepped back counts on in the last minute.
            Some(minute) if refusal.now.as_micros() < minute.end => minute,
            _ => self.begin_minute(&mut present, refusal.now),
        };
        minute.summary.note(refusal);
        minute.noted = minute.noted.saturating_add(1);
        if minute.noted == EXACT {
            shard.sampled_until.store(minute.end, Ordering::Relaxed);
        }
        true
    }

    /// Begins a minute of a shard. The one before has ended.
    #[cold]
    fn begin_minute<'a>(
        &self,
        present: &'a mut Option<PresentMinute>,
        now: Timestamp,
    ) -> &'a mut PresentMinute {
        let end = (now.as_micros() / MINUTE + 1) * MINUTE;
        if let Some(PresentMinute { end, mut summary, .. }) = present.take() {
            self.keep(EndedMinute { end, counts: summary.counts() }, now);
        }
        present.insert(PresentMinute { end, noted: 0, summary: Summary::default() })
    }

    /// Keeps a shard's part of a minute, merged with what other shards had of it.
    fn keep(&self, minute: EndedMinute, now: Timestamp) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|minute| minute.end > oldest_end(now));
        match ended.iter_mut().find(|other| other.end == minute.end) {
            Some(same) => same.counts = Counts::merged([&same.counts, &minute.counts]).cut(),
            None if minute.end > oldest_end(now) => ended.push(minute),
            None => {}
        }
    }

    /// Returns the keys of the last ten minutes, those with the most refusals first.
    pub(crate) fn top(&self, limit: usize, now: Timestamp) -> Vec<RefusedKey> {
        let mut keys = Counts::merged(&self.recent(now)).into_keys();
        keys.truncate(limit);
        keys
    }

    /// Returns a copy of all minutes, so that few refusals find a lock while they are merged.
    fn recent(&self, now: Timestamp) -> Vec<Counts> {
        // All shards first: a minute that ends in between would be missed, or counted twice.
        let mut shards: Vec<MutexGuard<'_, Option<PresentMinute>>> = self
            .shards
            .iter()
            .map(|shard| shard.present.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let present = shards.iter_mut().filter_map(|shard| shard.as_mut());
        let present = present.filter(|minute| minute.end > oldest_end(now));
        let ended = ended.iter().filter(|minute| minute.end > oldest_end(now));
        let mut all: Vec<Counts> = present.map(|minute| minute.summary.counts()).collect();
        all.extend(ended.map(|minute| minute.counts.clone()));
        all
    }
}

/// Returns the end of the last minute that is kept no more.
const fn oldest_end(now: Timestamp) -> u64 {
    (now.as_micros() / MINUTE + 1).saturating_sub(MINUTES) * MINUTE
}

#[cfg(test)]
mod tests;

//! Bans, in force and past ones: in `moka`, apart from the counters and under a
//! cap of their own, and those in force also in a slot of the table.
//!
//! The slot answers for a banned key without a lock and without the cache. A
//! bucket gives at most half of its slots to bans; a ban that finds none is
//! *hidden*, and checks in its segment look into the cache from then on.

mod segment_bans;

use std::{fmt, ptr, sync::Arc};

use self::segment_bans::SegmentBans;
use super::{
    Shared,
    fast_path::Declined,
    locking::LockedSegments,
    slot::{Slot, Tag},
    table::{Location, Segment, segment_of},
};
use crate::{
    algorithm::MAX_WORD,
    ban::{Ban, BanRecord, BanRule, CLOCK_SKEW},
    check::Item,
    expiring_cache::{CacheKey, ExpiringCache},
    key::Key,
    store::Banned,
    time::Timestamp,
};

/// A ban, and the segment of its key.
struct Entry {
    ban: Ban,
    segment: usize,
}

/// Every ban in force or not yet forgotten.
///
/// Calls for one key are made under the lock of its segment.
pub(super) struct Bans {
    /// By the namespace of a policy's or a group's bans, and the key.
    cache: ExpiringCache<Entry>,
    /// Shared with the listener of evictions, which may run under any segment's lock and so
    /// must not take one.
    of_segments: Arc<[SegmentBans]>,
    /// True if the store's clock runs like moka's own, so that moka may remove what is
    /// forgotten by then.
    real_time: bool,
}

impl Bans {
    pub(super) fn new(max: usize, segments: usize, real_time: bool) -> Self {
        let of_segments: Arc<[SegmentBans]> =
            (0..segments).map(|_| SegmentBans::default()).collect();
        let listened = Arc::clone(&of_segments);
        let cache = ExpiringCache::with_listener(max as u64, move |entry: &Entry| {
            listened[entry.segment].remove();
        });
        Self { cache, of_segments, real_time }
    }

    /// How many bans are kept, past ones that are remembered included.
    pub(super) fn count(&self) -> u64 {
        self.cache.count()
    }

    /// How many may be kept.
    pub(super) fn capacity(&self) -> u64 {
        self.cache.capacity()
    }

    /// Returns true if the key of that location may have a ban.
    #[inline]
    pub(super) fn may_have(&self, Location { digest, bucket }: Location) -> bool {
        self.of_segments[segment_of(bucket)].may_have(digest)
    }

    /// Returns true if a key of that bucket, or of one in its segment, has a ban.
    #[inline]
    pub(super) fn has_any(&self, bucket: usize) -> bool {
        self.of_segments[segment_of(bucket)].has_any()
    }

    pub(super) fn get(&self, location: Location, namespace: u64, key: &Key) -> Option<Ban> {
        if !self.may_have(location) {
            return None;
        }
        self.cache.get(&CacheKey::of(namespace, key)).map(|entry| entry.ban)
    }

    /// All bans of a policy or group, past ones included.
    pub(super) fn of(&self, namespace: u64) -> impl Iterator<Item = Banned> + '_ {
        let own = move |(name, entry): (Arc<CacheKey>, Arc<Entry>)| {
            let part = name.parts.first().filter(|part| part.namespace == namespace)?;
            Some(Banned { key: part.key.clone(), ban: entry.ban })
        };
        self.cache.iter().filter_map(own)
    }

    /// Returns the namespaces and keys of all bans.
    pub(super) fn names(&self) -> impl Iterator<Item = Arc<CacheKey>> + '_ {
        self.cache.iter().map(|(name, _)| name)
    }

    /// Drops a ban.
    pub(super) fn remove(&self, name: &CacheKey) {
        drop(self.cache.remove(name));
    }

    /// Keeps a ban for as long as the rule remembers it, or drops what is kept if
    /// there is none.
    fn set(
        &self,
        location: Location,
        item: Item<'_>,
        rule: &BanRule,
        ban: Option<Ban>,
        now: Timestamp,
    ) {
        let namespace = item.policy.namespaces().bans;
        if self.get(location, namespace, &item.subject.key) == ban {
            return;
        }
        let segment = segment_of(location.bucket);
        let name = CacheKey::of(namespace, &item.subject.key);
        match ban {
            None => drop(self.cache.remove(&name)),
            Some(ban) => {
                self.of_segments[segment].add(location.digest);
                let keep = self.real_time.then(|| rule.forget_at(&ban).since(now));
                self.cache.insert(name, Entry { ban, segment }, keep);
            }
        }
    }
}

impl Shared {
    /// Returns the end of the ban in force on an item, if it has a slot.
    ///
    /// # Errors
    /// If there may be a ban that only the general path finds.
    #[allow(clippy::inline_always, reason = "see one_bucket")]
    #[inline(always)]
    pub(super) fn slotted_ban(
        &self,
        item: Item<'_>,
        location: Location,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Declined> {
        // The filter is looked at out of line: in line, it took 20 instructions of each check.
        if !item.may_be_banned() || !self.bans.has_any(location.bucket) {
            return Ok(None);
        }
        self.find_slotted_ban(item, location, now)
    }

    #[inline(never)]
    fn find_slotted_ban(
        &self,
        item: Item<'_>,
        location: Location,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Declined> {
        if !self.bans.may_have(location) {
            return Ok(None);
        }
        let location = location.of(item.policy.namespaces().bans, &self.table);
        let tag = Tag::ban(location.digest, item.policy.namespaces().bans);
        let segment = self.segment(location);
        match segment.find_same(location.bucket, tag) {
            Some(slot) => {
                let tag = Some(slot.tag()).filter(|now| now.is_same(tag)).ok_or(Declined)?;
                let until = self.origin.after_micros(slot.read(tag).ok_or(Declined)?.payload());
                // A ban that ends later than it can is none: the clock has stepped
                // back, or stands so near the beginning that rounding hides it.
                if self.clock.may_step_back() && until.micros_since(now) > tag.micros() {
                    return Err(Declined);
                }
                Ok((now < until).then_some(until))
            }
            None if segment.hides_bans() || !self.is_segment_of(segment, location) => Err(Declined),
            None => Ok(None),
        }
    }

    /// Writes the ban of a record.
    pub(super) fn write_ban(
        &self,
        locked: &mut LockedSegments<'_>,
        location: Location,
        item: Item<'_>,
        record: &BanRecord,
        now: Timestamp,
    ) {
        let Some(rule) = item.policy.ban() else { return };
        let location = location.of(item.policy.namespaces().bans, &self.table);
        // One that hosts the keys of several may hide a ban of another.
        if !self.bans.has_any(location.bucket) && !self.table.is_shared(location.bucket) {
            self.segment(location).set_hides_bans(false);
        }
        self.bans.set(location, item, rule, record.ban, now);
        let tag = Tag::ban(location.digest, item.policy.namespaces().bans);
        // A past ban keeps its slot until another key needs it.
        let Some(ban) = record.ban else {
            return locked.remove(location, tag);
        };
        let until = ban.until.micros_since(self.origin);
        let slot = if until < MAX_WORD {
            self.ban_slot(locked, location, tag, now)
        } else {
            // The slot of its ban before would say that it has ended.
            locked.remove(location, tag);
            None
        };
        match slot {
            Some(slot) => {
                let longest = ban.duration.saturating_add(CLOCK_SKEW);
                slot.release(tag.with_micros(longest), until);
            }
            None if ban.holds(now) => self.segment(location).set_hides_bans(true),
            None => {}
        }
    }

    /// Returns the slot of a ban, claimed: the one that it has, or another's.
    fn ban_slot<'a>(
        &self,
        locked: &mut LockedSegments<'a>,
        location: Location,
        tag: Tag,
        now: Timestamp,
    ) -> Option<&'a Slot> {
        if let Some(known) = locked.take_slot(location, tag) {
            return Some(known);
        }
        let elapsed = now.micros_since(self.origin);
        let in_force = |slot: &&Slot| slot.tag().is_ban() && slot.payload() > elapsed;
        let slots = locked.bucket(location.bucket).all_slots();
        let bans = slots.iter().filter(in_force).count();
        // Long before the first is hidden.
        if bans >= self.table.ways() / 4 {
            locked.crowded = Some(location.bucket);
        }
        if bans >= self.table.ways() / 2 {
            return None;
        }
        locked.make_room(location.bucket, tag, now)
    }

    #[inline]
    pub(super) fn segment(&self, location: Location) -> &Segment {
        self.table.segment(segment_of(location.bucket))
    }

    /// Returns true if the segment still has the keys of a location. Otherwise a slot that was
    /// not found in it, without a lock, may have moved.
    pub(super) fn is_segment_of(&self, segment: &Segment, location: Location) -> bool {
        ptr::eq(segment, self.segment(location))
    }
}

impl fmt::Debug for Bans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bans({})", self.cache.count())
    }
}

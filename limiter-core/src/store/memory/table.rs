//! The table of the memory store: slots in buckets, buckets in segments.
//!
//! ```text
//! keyed hash of the key ──► segment (high bits), line to begin with (lowest bits), tag (low bits)
//! and the namespace     ──► bucket of the segment
//!
//!            ┌──────────────────────── segment ────────────────────────┐
//!            │ bucket 0         bucket 1       bucket 2       bucket 3 │
//!            │ ┌─────────────┐ ┌─────────────┐                         │
//!    line 0  │ │tag word  ×4 │ │tag word  ×4 │     ...           ...   │
//!    line 1  │ │tag word  ×4 │ │tag word  ×4 │                         │
//!    line 2  │ │tag word  ×4 │ │tag word  ×4 │                         │
//!    line 3  │ │tag word  ×4 │ │tag word  ×4 │                         │
//!            │ └─────────────┘ └─────────────┘                         │
//!            │ hides_bans, has_displaced                               │
//!            │ lock: wide states, displaced usage                      │
//!            └─────────────────────────────────────────────────────────┘
//! ```
//!
//! The counters that a policy has of one key are in one bucket, in whichever of its
//! 16 slots was free when they came: mostly in the line of four to begin with, which
//! is one cache line. Those of several policies are spread over the buckets of one
//! segment: in one bucket, two keys with a dozen counters each would displace one
//! another, in several segments a check would need several locks. A slot is never moved. Memory for 64 segments at a time is taken when
//! the first of them is needed.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::{
    displaced_sketch::DisplacedUsage,
    slot::{Slot, Tag},
};
use crate::algorithm::State;

const LINE: usize = 4;
const LINES: usize = 4;

/// Slots of a bucket.
const WAYS: usize = LINE * LINES;

/// Buckets of a segment.
const BUCKETS: usize = 4;

/// Segments of a chunk.
const CHUNK: usize = 64;

/// Where everything of one key is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    /// The keyed hash of the key.
    pub(super) digest: u64,
    /// The number of its bucket, as the key alone chooses it.
    pub(super) bucket: usize,
}

impl Location {
    /// Returns where the key's state of that namespace is.
    #[inline]
    pub(super) fn of(self, namespace: u64, table: &Table) -> Self {
        Self { bucket: table.bucket_beside(self.bucket, namespace), ..self }
    }
}

/// The slots in which the state of a key may be.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Bucket([[Slot; LINE]; LINES]);

impl Bucket {
    /// The first slots, at most so many.
    pub(super) fn slots(&self, most: usize) -> &[Slot] {
        let slots = self.0.as_flattened();
        &slots[..most.min(slots.len())]
    }

    /// All slots, from the line on that the digest says.
    #[inline]
    pub(super) fn slots_from(&self, digest: u64) -> impl Iterator<Item = &Slot> + Clone {
        let first = digest as usize % LINES;
        (0..LINES).flat_map(move |line| &self.0[(first + line) % LINES])
    }

    /// Returns the first of the slots that the digest says.
    #[inline]
    pub(super) fn first_slot(&self, digest: u64) -> &Slot {
        &self.0.as_flattened()[Self::first(digest)]
    }

    /// Returns the slot of that tag, written by a quota of the same numbers.
    #[allow(clippy::inline_always, reason = "see one_bucket")]
    #[inline(always)]
    pub(super) fn find(&self, digest: u64, tag: Tag) -> Option<&Slot> {
        // The place within the first line is computed: to search it slot by slot, the
        // processor guesses every second time wrong. A bucket has a tag once.
        let line = &self.0[digest as usize % LINES];
        let at = (1..LINE).map(|at| if line[at].tag() == tag { at } else { 0 }).sum::<usize>();
        let slot = &line[at % LINE];
        if slot.tag() == tag {
            return Some(slot);
        }
        self.find_behind(digest, tag)
    }

    /// Returns the slot of that tag, and its number: the one that is guessed, or another.
    #[inline]
    pub(super) fn find_guessed(
        &self,
        guess: usize,
        digest: u64,
        tag: Tag,
    ) -> Option<(usize, &Slot)> {
        let slot = &self.0.as_flattened()[guess % WAYS];
        if slot.tag() == tag { Some((guess, slot)) } else { self.find_numbered(digest, tag) }
    }

    #[inline(never)]
    fn find_numbered(&self, digest: u64, tag: Tag) -> Option<(usize, &Slot)> {
        let first = Self::first(digest);
        let numbers = (first..first + WAYS).map(|number| number % WAYS);
        let mut slots = numbers.map(|number| (number, &self.0.as_flattened()[number]));
        slots.find(|(_, slot)| slot.tag() == tag)
    }

    /// Returns the number of the first slot in which a key of that digest may be.
    #[inline]
    pub(super) fn first(digest: u64) -> usize {
        digest as usize % LINES * LINE
    }

    /// Returns the slot of that tag, if it is not in the line to begin with.
    #[inline(never)]
    fn find_behind(&self, digest: u64, tag: Tag) -> Option<&Slot> {
        self.slots_from(digest).skip(LINE).find(|slot| slot.tag() == tag)
    }

    /// Returns the slot of that key and namespace.
    pub(super) fn find_same(&self, digest: u64, tag: Tag) -> Option<&Slot> {
        // By lines: through `slots_from`, each slot takes twice as many instructions.
        let first = digest as usize % LINES;
        let mut lines = (0..LINES).map(|line| &self.0[(first + line) % LINES]);
        lines.find_map(|line| line.iter().find(|slot| slot.tag().is_same(tag)))
    }
}

/// Buckets under one lock.
#[derive(Debug, Default)]
pub(super) struct Segment {
    buckets: [Bucket; BUCKETS],
    /// True if a ban in force may have no slot.
    hides_bans: AtomicBool,
    /// True if a key may have usage in the sketch, and no slot.
    has_displaced: AtomicBool,
    state: Mutex<SegmentState>,
}

/// The state under the lock of a segment.
#[derive(Debug, Default)]
pub(super) struct SegmentState {
    /// States that do not fit into a word, by the payload of their slots.
    pub(super) wide: Vec<Option<State>>,
    pub(super) displaced: DisplacedUsage,
}

impl Segment {
    /// A panic under the lock leaves every slot whole. So a poisoned lock is
    /// taken all the same.
    pub(super) fn lock(&self) -> MutexGuard<'_, SegmentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns its bucket of that number in the table.
    #[inline]
    pub(super) fn bucket(&self, bucket: usize) -> &Bucket {
        &self.buckets[bucket % BUCKETS]
    }

    #[inline]
    pub(super) fn hides_bans(&self) -> bool {
        self.hides_bans.load(Ordering::Relaxed)
    }

    pub(super) fn has_displaced(&self) -> bool {
        self.has_displaced.load(Ordering::Relaxed)
    }

    pub(super) fn set_has_displaced(&self, has: bool) {
        self.has_displaced.store(has, Ordering::Relaxed);
    }

    pub(super) fn set_hides_bans(&self, hides: bool) {
        self.hides_bans.store(hides, Ordering::Relaxed);
    }
}

/// How many buckets an estimate looks at.
const SAMPLE: usize = 4_096;

pub(super) struct Table {
    chunks: Box<[OnceLock<Box<[Segment]>>]>,
    buckets: usize,
    /// Slots of a bucket that are used: fewer than there are in a tiny table.
    ways: usize,
}

impl Table {
    /// Returns a table of at most so many slots, and fewer by 15 at most.
    pub(super) fn new(max: usize) -> Self {
        let buckets = (max / WAYS).max(1);
        let chunks = buckets.div_ceil(BUCKETS * CHUNK);
        Self {
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
            buckets,
            ways: max.min(WAYS),
        }
    }

    pub(super) fn segments(&self) -> usize {
        self.buckets.div_ceil(BUCKETS)
    }

    pub(super) fn ways(&self) -> usize {
        self.ways
    }

    /// Returns the number of the bucket that the high bits of a digest choose.
    #[inline]
    pub(super) fn bucket_of(&self, digest: u64) -> usize {
        ((u128::from(digest) * self.buckets as u128) >> 64) as usize
    }

    /// Returns the number of the bucket in the same segment that a namespace chooses.
    #[inline]
    pub(super) fn bucket_beside(&self, bucket: usize, namespace: u64) -> usize {
        let beside = bucket ^ (namespace as usize % BUCKETS);
        if beside < self.buckets { beside } else { bucket }
    }

    #[inline]
    pub(super) fn bucket(&self, bucket: usize) -> &Bucket {
        self.segment(segment_of(bucket)).bucket(bucket)
    }

    #[inline]
    pub(super) fn segment(&self, segment: usize) -> &Segment {
        let chunk = self.chunks[segment / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| Segment::default()).collect());
        &chunk[segment % CHUNK]
    }

    /// Returns the numbers of the buckets that were ever needed.
    pub(super) fn needed_buckets(&self) -> impl Iterator<Item = usize> {
        let chunks = self.chunks.iter().enumerate().filter(|(_, chunk)| chunk.get().is_some());
        let buckets = chunks.flat_map(|(at, _)| at * CHUNK * BUCKETS..(at + 1) * CHUNK * BUCKETS);
        buckets.take_while(|bucket| *bucket < self.buckets)
    }

    /// Counts the slots in use.
    pub(super) fn len(&self) -> usize {
        self.needed_buckets().map(|bucket| self.slots_in_use(bucket)).sum()
    }

    /// Estimates the slots in use from at most [`SAMPLE`] buckets: digests spread them
    /// evenly. A table that has no more buckets is counted.
    pub(super) fn estimated_len(&self) -> usize {
        let needed = self.needed_buckets().count();
        let step = needed.div_ceil(SAMPLE).max(1);
        let (mut sampled, mut in_use) = (0, 0);
        for bucket in self.needed_buckets().step_by(step) {
            sampled += 1;
            in_use += self.slots_in_use(bucket);
        }
        (in_use * needed).checked_div(sampled).unwrap_or(0)
    }

    /// Returns how many slots there may be.
    pub(super) const fn capacity(&self) -> usize {
        self.buckets * self.ways
    }

    fn slots_in_use(&self, bucket: usize) -> usize {
        self.bucket(bucket).0.iter().flatten().filter(|slot| !slot.tag().is_free()).count()
    }
}

#[inline]
pub(super) const fn segment_of(bucket: usize) -> usize {
    bucket / BUCKETS
}

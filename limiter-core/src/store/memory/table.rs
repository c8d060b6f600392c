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
//!            │ hides_bans, has_displaced, overflowed                   │
//!            │ lock: wide states, displaced usage                      │
//!            └─────────────────────────────────────────────────────────┘
//! ```
//!
//! The counters that a policy has of one key are in one bucket, in whichever of its
//! 16 slots was free when they came: mostly in the line of four to begin with, which
//! is one cache line. Those of several policies are spread over the buckets of one
//! segment: in one bucket, two keys with a dozen counters each would displace one
//! another, in several segments a check would need several locks.
//!
//! 64 segments are a chunk. The table begins with one, which hosts the keys of all others, and
//! grows with its keys, as by extendible hashing: see [`Table::split`]. A key keeps its place
//! within a chunk.

mod bucket;
mod segment;
mod split;

use std::{
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

pub(super) use self::{
    bucket::{Bucket, CROWDED, WAYS},
    segment::{Segment, SegmentState},
};

/// Buckets of a segment.
const BUCKETS: usize = 4;

/// Slots of a segment.
const SLOTS: usize = BUCKETS * WAYS;

/// Segments of a chunk.
const CHUNK: usize = 64;

/// An array, whose length is not read at each check.
type Chunk = Box<[Segment; CHUNK]>;

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

/// How many buckets an estimate looks at.
const SAMPLE: usize = 4_096;

pub(super) struct Table {
    /// The chunk that hosts the keys of each chunk: itself, or one before it. The chunks that
    /// one hosts follow each other, and it is the first of them.
    directory: Box<[AtomicU16]>,
    chunks: Box<[OnceLock<Chunk>]>,
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
            directory: (0..chunks).map(|_| AtomicU16::new(0)).collect(),
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

    /// Returns the segment that has the keys of the segment of that number.
    #[inline]
    pub(super) fn segment(&self, segment: usize) -> &Segment {
        &self.chunk(self.host_of(segment / CHUNK))[segment % CHUNK]
    }

    /// Returns the number of the segment that has the keys of a bucket. Under the lock of that
    /// segment it stays.
    #[inline]
    pub(super) fn host_segment(&self, bucket: usize) -> usize {
        let segment = segment_of(bucket);
        self.host_of(segment / CHUNK) * CHUNK + segment % CHUNK
    }

    /// Returns the number of the chunk that has the keys of a chunk.
    #[inline]
    fn host_of(&self, chunk: usize) -> usize {
        self.directory[chunk].load(Ordering::Acquire).into()
    }

    #[inline]
    fn chunk(&self, chunk: usize) -> &[Segment; CHUNK] {
        self.chunks[chunk].get_or_init(new_chunk)
    }

    /// Returns the numbers of the buckets that were ever needed.
    pub(super) fn needed_buckets(&self) -> impl Iterator<Item = usize> {
        let chunks = self.chunks.iter().enumerate().filter(|(_, chunk)| chunk.get().is_some());
        let buckets = chunks.flat_map(|(at, _)| at * CHUNK * BUCKETS..(at + 1) * CHUNK * BUCKETS);
        buckets.take_while(|bucket| *bucket < self.buckets)
    }

    /// Returns the buckets of each segment that was ever needed.
    pub(super) fn needed_segments(&self) -> impl Iterator<Item = Range<usize>> {
        let firsts = self.needed_buckets().step_by(BUCKETS);
        firsts.map(|first| first..self.buckets.min(first + BUCKETS))
    }

    /// Counts the slots in use.
    pub(super) fn len(&self) -> usize {
        self.needed_buckets().map(|bucket| self.bucket(bucket).in_use()).sum()
    }

    /// Estimates the slots in use from at most [`SAMPLE`] buckets: digests spread them
    /// evenly. A table that has no more buckets is counted.
    pub(super) fn estimated_len(&self) -> usize {
        let needed = self.needed_buckets().count();
        let step = needed.div_ceil(SAMPLE).max(1);
        let (mut sampled, mut in_use) = (0, 0);
        for bucket in self.needed_buckets().step_by(step) {
            sampled += 1;
            in_use += self.bucket(bucket).in_use();
        }
        (in_use * needed).checked_div(sampled).unwrap_or(0)
    }

    /// Returns how many slots there may be.
    pub(super) const fn capacity(&self) -> usize {
        self.buckets * self.ways
    }
}

fn new_chunk() -> Chunk {
    let segments: Box<[Segment]> = (0..CHUNK).map(|_| Segment::default()).collect();
    segments.try_into().unwrap_or_else(|_| unreachable!("there are as many as in a chunk"))
}

#[inline]
pub(super) const fn segment_of(bucket: usize) -> usize {
    bucket / BUCKETS
}

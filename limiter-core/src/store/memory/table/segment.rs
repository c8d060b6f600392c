//! A segment: buckets under one lock.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use super::{
    BUCKETS, SLOTS,
    bucket::{Bucket, LINE, LINES, line_of},
};
use crate::{
    algorithm::State,
    store::memory::{
        displaced_sketch::DisplacedUsage,
        slot::{Slot, Tag},
    },
};

/// Buckets under one lock.
#[derive(Debug, Default)]
pub(in crate::store::memory) struct Segment {
    buckets: [Bucket; BUCKETS],
    /// True if a ban in force may have no slot.
    hides_bans: AtomicBool,
    /// True if a key may have usage in the sketch, and no slot.
    has_displaced: AtomicBool,
    /// A bit for each line of its buckets: set once a key has got a slot in another line of
    /// its bucket, since that one was full. So a key that is not in a line whose bit is not
    /// set is in none: newcomers, and keys that were banned and never counted, are looked for
    /// in one cache line and not in four.
    ///
    /// It stays set when the key has gone, until it is counted anew: by one newcomer of 64.
    pub(super) overflowed: AtomicU16,
    pub(super) state: Mutex<SegmentState>,
}

/// The state under the lock of a segment.
#[derive(Debug, Default)]
pub(in crate::store::memory) struct SegmentState {
    /// States that do not fit into a word, by the payload of their slots. A boxed slice is a
    /// word less than a vector, so that a segment has one cache line beside its slots.
    pub(in crate::store::memory) wide: Box<[Option<State>]>,
    pub(in crate::store::memory) displaced: DisplacedUsage,
    /// The chunk whose key has each slot, where the segment hosts keys of several: a slot keeps
    /// too few bits of the hash to tell.
    pub(super) chunk_of: Option<Box<[u16; SLOTS]>>,
}

impl SegmentState {
    /// Keeps a state that does not fit into a word. Returns the payload of its slot.
    pub(in crate::store::memory) fn keep_wide(&mut self, state: State) -> u64 {
        let free = self.wide.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            let mut wide = mem::take(&mut self.wide).into_vec();
            wide.push(None);
            self.wide = wide.into_boxed_slice();
            self.wide.len() - 1
        });
        self.wide[at] = Some(state);
        at as u64
    }
}

impl Segment {
    /// A panic under the lock leaves every slot whole. So a poisoned lock is
    /// taken all the same.
    pub(in crate::store::memory) fn lock(&self) -> MutexGuard<'_, SegmentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns its bucket of that number in the table.
    #[inline]
    pub(in crate::store::memory) fn bucket(&self, bucket: usize) -> &Bucket {
        &self.buckets[bucket % BUCKETS]
    }

    /// Returns the slot of that tag, written by a quota of the same numbers.
    #[allow(clippy::inline_always, reason = "see one_bucket")]
    #[inline(always)]
    pub(in crate::store::memory) fn find(&self, bucket: usize, tag: Tag) -> Option<&Slot> {
        self.find_by(bucket, tag, |other| other == tag)
    }

    /// Returns the slot of that key and namespace.
    pub(in crate::store::memory) fn find_same(&self, bucket: usize, tag: Tag) -> Option<&Slot> {
        self.find_by(bucket, tag, |other| other.is_same(tag))
    }

    /// Returns the slot of such a tag. A bucket has one, at most.
    #[allow(clippy::inline_always, reason = "see one_bucket")]
    #[inline(always)]
    fn find_by(&self, bucket: usize, tag: Tag, is: impl Fn(Tag) -> bool) -> Option<&Slot> {
        // The place within the first line is computed: to search it slot by slot, the
        // processor guesses every second time wrong.
        let line = self.bucket(bucket).first_line(tag);
        let at = (1..LINE).map(|at| if is(line[at].tag()) { at } else { 0 }).sum::<usize>();
        let slot = &line[at % LINE];
        if is(slot.tag()) { Some(slot) } else { self.find_behind(bucket, tag, is) }
    }

    /// Returns the slot of such a tag, if it is not in the first line.
    #[inline(never)]
    fn find_behind(&self, bucket: usize, tag: Tag, is: impl Fn(Tag) -> bool) -> Option<&Slot> {
        // The bit is set before the slot has its tag: where it is not set, there was no slot.
        if self.overflowed.load(Ordering::Relaxed) & bit_of(bucket, line_of(tag.hash())) == 0 {
            return None;
        }
        // By lines: slot by slot, each takes twice as many instructions.
        let mut lines = self.bucket(bucket).lines_behind(tag);
        lines.find_map(|line| line.iter().find(|slot| is(slot.tag())))
    }

    /// Notes, under the lock, that a key gets a slot: whoever looks for it has to know if it is
    /// not in its first line.
    pub(in crate::store::memory) fn note_slot(&self, bucket: usize, tag: Tag, slot: &Slot) {
        let overflowed = self.overflowed.load(Ordering::Relaxed);
        let bit = bit_of(bucket, line_of(tag.hash()));
        let first = self.bucket(bucket).first_line(tag).as_ptr_range();
        if overflowed & bit == 0 && !first.contains(&std::ptr::from_ref(slot)) {
            self.overflowed.store(overflowed | bit, Ordering::Relaxed);
        }
    }

    /// Counts anew, under the lock, which lines of a bucket have overflowed: the keys that
    /// were elsewhere may have gone.
    pub(in crate::store::memory) fn recount_overflowed(&self, bucket: usize) {
        let all = (0..LINES).fold(0, |bits, line| bits | bit_of(bucket, line));
        let lines = self.bucket(bucket).overflowed_lines();
        let overflowed = lines.fold(0, |bits, line| bits | bit_of(bucket, line));
        let others = self.overflowed.load(Ordering::Relaxed) & !all;
        self.overflowed.store(others | overflowed, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(in crate::store::memory) fn has_overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Relaxed) > 0
    }

    #[inline]
    pub(in crate::store::memory) fn hides_bans(&self) -> bool {
        self.hides_bans.load(Ordering::Relaxed)
    }

    pub(in crate::store::memory) fn has_displaced(&self) -> bool {
        self.has_displaced.load(Ordering::Relaxed)
    }

    pub(in crate::store::memory) fn set_has_displaced(&self, has: bool) {
        self.has_displaced.store(has, Ordering::Relaxed);
    }

    pub(in crate::store::memory) fn set_hides_bans(&self, hides: bool) {
        self.hides_bans.store(hides, Ordering::Relaxed);
    }
}

/// Returns the bit of a line of a bucket.
const fn bit_of(bucket: usize, line: usize) -> u16 {
    1 << (bucket % BUCKETS * LINES + line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(n: u64, line: u64) -> Tag {
        Tag::ban(n << 2 | line, 0)
    }

    fn is_found(segment: &Segment, bucket: usize, tag: Tag) -> bool {
        let found = segment.find(bucket, tag).is_some();
        assert_eq!(segment.find_same(bucket, tag).is_some(), found);
        found
    }

    /// Keys that begin with the same line of a bucket: four are in it, the fifth is behind, and
    /// a sixth is nowhere.
    #[test]
    fn a_key_behind_its_line_is_found_until_it_has_gone() {
        let segment = Segment::default();
        for (bucket, line) in [(1, 2), (1, 3), (2, 1)] {
            let slots = segment.bucket(bucket).all_slots();
            let first = Bucket::first_line_numbers(tag(0, line));
            let behind = usize::from(line == 3);
            for (n, slot) in (1..=5).zip(first.chain([behind])) {
                let (tag, slot) = (tag(n, line), &slots[slot]);
                assert!(slot.tag().is_free() && !is_found(&segment, bucket, tag), "{n}");
                let before = segment.overflowed.load(Ordering::Relaxed);
                segment.note_slot(bucket, tag, slot);
                let noted = segment.overflowed.load(Ordering::Relaxed) ^ before;
                assert_eq!(noted > 0, n == 5, "{n}");
                slot.release(tag, 0);
            }
        }
        for (bucket, line) in [(1, 2), (1, 3), (2, 1)] {
            assert!((1..=5).all(|n| is_found(&segment, bucket, tag(n, line))));
            assert!(!is_found(&segment, bucket, tag(6, line)));
        }
        for (bucket, line) in [(1, 2), (1, 3), (2, 1)] {
            segment.recount_overflowed(bucket);
            assert!(is_found(&segment, bucket, tag(5, line)), "{bucket} {line}");
        }
        segment.find_same(1, tag(5, 2)).unwrap().release(Tag::FREE, 0);
        segment.recount_overflowed(1);
        assert_eq!(segment.overflowed.load(Ordering::Relaxed), bit_of(1, 3) | bit_of(2, 1));
    }
}

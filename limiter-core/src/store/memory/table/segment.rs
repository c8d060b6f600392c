//! A segment: buckets under one lock.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU16, Ordering},
};

use super::{
    BUCKETS, Location,
    bucket::{Bucket, LINE, LINES},
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
    overflowed: AtomicU16,
    state: Mutex<SegmentState>,
}

/// The state under the lock of a segment.
#[derive(Debug, Default)]
pub(in crate::store::memory) struct SegmentState {
    /// States that do not fit into a word, by the payload of their slots.
    pub(in crate::store::memory) wide: Vec<Option<State>>,
    pub(in crate::store::memory) displaced: DisplacedUsage,
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
    pub(in crate::store::memory) fn find(&self, location: Location, tag: Tag) -> Option<&Slot> {
        // The place within the first line is computed: to search it slot by slot, the
        // processor guesses every second time wrong. A bucket has a tag once.
        let line = self.bucket(location.bucket).first_line(location.digest);
        let at = (1..LINE).map(|at| if line[at].tag() == tag { at } else { 0 }).sum::<usize>();
        let slot = &line[at % LINE];
        if slot.tag() == tag {
            return Some(slot);
        }
        self.find_behind(location, move |other| other == tag)
    }

    /// Returns the slot of that key and namespace.
    pub(in crate::store::memory) fn find_same(
        &self,
        location: Location,
        tag: Tag,
    ) -> Option<&Slot> {
        let first = self.bucket(location.bucket).first_line(location.digest);
        let slot = first.iter().find(|slot| slot.tag().is_same(tag));
        slot.or_else(|| self.find_behind(location, move |other| other.is_same(tag)))
    }

    /// Returns the slot of such a tag, if it is not in the first line.
    #[inline(never)]
    fn find_behind(&self, location: Location, is: impl Fn(Tag) -> bool) -> Option<&Slot> {
        // Set before the slot has its tag: without it, no slot was there when the check began.
        if self.overflowed.load(Ordering::Relaxed) & Self::line_bit(location) == 0 {
            return None;
        }
        let mut lines = self.bucket(location.bucket).lines_behind(location.digest);
        // By lines: slot by slot, each takes twice as many instructions.
        lines.find_map(|line| line.iter().find(|slot| is(slot.tag())))
    }

    /// Notes, under the lock, that a key gets a slot: whoever looks for it has to know if it is
    /// not in its first line.
    pub(in crate::store::memory) fn note_slot(&self, location: Location, slot: &Slot) {
        let first = self.bucket(location.bucket).first_line(location.digest);
        let overflowed = self.overflowed.load(Ordering::Relaxed);
        let bit = Self::line_bit(location);
        if overflowed & bit == 0 && !first.as_ptr_range().contains(&std::ptr::from_ref(slot)) {
            self.overflowed.store(overflowed | bit, Ordering::Relaxed);
        }
    }

    /// Notes, under the lock, that a bucket is empty.
    pub(in crate::store::memory) fn note_empty(&self, bucket: usize) {
        let lines = (0..LINES as u64).map(|digest| Self::line_bit(Location { digest, bucket }));
        let overflowed = self.overflowed.load(Ordering::Relaxed);
        self.overflowed.store(overflowed & !lines.sum::<u16>(), Ordering::Relaxed);
    }

    /// Returns the bit of the first line of a key.
    fn line_bit(Location { digest, bucket }: Location) -> u16 {
        1 << (bucket % BUCKETS * LINES + digest as usize % LINES)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that begin with the same line of a bucket: the first four are in it, the fifth is
    /// behind, and a sixth is nowhere. In another line, none is looked for behind.
    #[test]
    fn a_key_behind_its_line_is_found_until_the_bucket_is_empty() {
        let segment = Segment::default();
        let key = |n: u64, line: u64| Location { digest: n << 2 | line, bucket: 2 };
        let tag = |Location { digest, .. }| Tag::ban(digest, 0);
        let is_found = |location| {
            let found = segment.find(location, tag(location)).is_some();
            assert_eq!(segment.find_same(location, tag(location)).is_some(), found);
            found
        };
        let slots = segment.bucket(2).slots_from(1);
        for (n, slot) in (1..=5).zip(slots) {
            assert!(!is_found(key(n, 1)), "{n}");
            let _locked = segment.lock();
            segment.note_slot(key(n, 1), slot);
            assert_eq!(segment.overflowed.load(Ordering::Relaxed) > 0, n == 5, "{n}");
            slot.release(tag(key(n, 1)), 0);
        }
        assert!((1..=5).all(|n| is_found(key(n, 1))) && !is_found(key(6, 1)));
        let elsewhere = segment.bucket(2).slots_from(3).next().unwrap();
        elsewhere.release(tag(key(7, 2)), 0);
        assert!(!is_found(key(7, 2)), "it was never noted");
        segment.note_empty(1);
        assert!(is_found(key(5, 1)), "another bucket");
        segment.note_empty(2);
        assert_eq!(segment.overflowed.load(Ordering::Relaxed), 0);
    }
}

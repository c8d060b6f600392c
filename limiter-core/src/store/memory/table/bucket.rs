//! A bucket: the slots in which the state of a key may be.

use std::{ops::Range, ptr};

use crate::store::memory::slot::{Slot, Tag};

pub(super) const LINE: usize = 4;
pub(super) const LINES: usize = 4;

/// Slots of a bucket.
pub(in crate::store::memory) const WAYS: usize = LINE * LINES;

/// Slots in use from which on a bucket is crowded, so that its chunk is split if it can be, behind
/// the check that has found it so. With 12, keys are further apart, and a check among 100,000
/// took 71 ns in place of 55; with 15, others have no room until it is split.
pub(in crate::store::memory) const CROWDED: usize = 14;

/// The slots in which the state of a key may be.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::store::memory) struct Bucket([[Slot; LINE]; LINES]);

impl Bucket {
    /// The first slots, at most so many.
    pub(in crate::store::memory) fn slots(&self, most: usize) -> &[Slot] {
        let slots = self.0.as_flattened();
        &slots[..most.min(slots.len())]
    }

    /// All slots.
    pub(in crate::store::memory) fn all_slots(&self) -> &[Slot] {
        self.0.as_flattened()
    }

    /// Returns how many slots are in use.
    pub(in crate::store::memory) fn in_use(&self) -> usize {
        self.all_slots().iter().filter(|slot| !slot.tag().is_free()).count()
    }

    /// Returns the first of the slots of a key, by its hash.
    #[inline]
    pub(in crate::store::memory) fn first_slot(&self, hash: u64) -> &Slot {
        &self.0.as_flattened()[Self::first(hash)]
    }

    /// Returns the slot that follows one of the bucket; behind the last, the first.
    #[inline]
    pub(in crate::store::memory) fn slot_behind(&self, slot: &Slot) -> &Slot {
        let slots = self.0.as_flattened();
        let bytes = ptr::from_ref(slot).addr().wrapping_sub(slots.as_ptr().addr());
        &slots[(bytes / size_of::<Slot>() + 1) % WAYS]
    }

    /// Returns the number of the first slot in which a key of that hash may be.
    #[inline]
    fn first(hash: u64) -> usize {
        line_of(hash) * LINE
    }

    /// Returns the numbers of the slots in the line in which a key is, unless that was full.
    pub(in crate::store::memory) fn first_line_numbers(tag: Tag) -> Range<usize> {
        let first = Self::first(tag.hash());
        first..first + LINE
    }

    /// Returns the line in which a key is, unless that was full.
    #[inline]
    pub(super) fn first_line(&self, tag: Tag) -> &[Slot; LINE] {
        &self.0[line_of(tag.hash())]
    }

    /// Returns the other lines.
    pub(super) fn lines_behind(&self, tag: Tag) -> impl Iterator<Item = &[Slot; LINE]> {
        let first = line_of(tag.hash());
        (1..LINES).map(move |line| &self.0[(first + line) % LINES])
    }

    /// Returns the numbers of the lines that keys of the bucket would be in, and are not.
    pub(super) fn overflowed_lines(&self) -> impl Iterator<Item = usize> {
        let lines = self.0.iter().enumerate();
        lines.flat_map(|(number, line)| {
            let in_use = line.iter().map(Slot::tag).filter(|tag| !tag.is_free());
            in_use.map(|tag| line_of(tag.hash())).filter(move |first| *first != number)
        })
    }
}

/// Returns the number of the line to begin with.
#[inline]
pub(super) const fn line_of(hash: u64) -> usize {
    hash as usize % LINES
}

//! A bucket: the slots in which the state of a key may be.

use crate::store::memory::slot::{Slot, Tag};

pub(super) const LINE: usize = 4;
pub(super) const LINES: usize = 4;

/// Slots of a bucket.
pub(super) const WAYS: usize = LINE * LINES;

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

    /// All slots, from the line on that the digest says.
    #[inline]
    pub(in crate::store::memory) fn slots_from(
        &self,
        digest: u64,
    ) -> impl Iterator<Item = &Slot> + Clone {
        let first = digest as usize % LINES;
        (0..LINES).flat_map(move |line| &self.0[(first + line) % LINES])
    }

    /// Returns the first of the slots that the digest says.
    #[inline]
    pub(in crate::store::memory) fn first_slot(&self, digest: u64) -> &Slot {
        &self.0.as_flattened()[Self::first(digest)]
    }

    /// Returns the slot of that tag, and its number: the one that is guessed, or another.
    #[inline]
    pub(in crate::store::memory) fn find_guessed(
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
    pub(in crate::store::memory) fn first(digest: u64) -> usize {
        digest as usize % LINES * LINE
    }

    /// Returns the line in which a key of that digest is, unless it was full.
    #[inline]
    pub(super) fn first_line(&self, digest: u64) -> &[Slot; LINE] {
        &self.0[digest as usize % LINES]
    }

    /// Returns the other lines.
    pub(super) fn lines_behind(&self, digest: u64) -> impl Iterator<Item = &[Slot; LINE]> {
        let first = digest as usize % LINES;
        (1..LINES).map(move |line| &self.0[(first + line) % LINES])
    }
}

//! Growth of the table, as by extendible hashing (Fagin, Nievergelt, Pippenger and Strong,
//! 1979): [`Table::split`].

use std::{
    ops::Range,
    sync::{MutexGuard, PoisonError, atomic::Ordering},
};

use super::{
    CHUNK, SLOTS, Segment, SegmentState, Table,
    bucket::{CROWDED, WAYS},
    new_chunk, segment_of,
};
use crate::store::memory::slot::{Slot, Tag};

impl Table {
    /// Returns true if the chunk of a bucket hosts the keys of others.
    #[inline]
    pub(in crate::store::memory) fn is_shared(&self, bucket: usize) -> bool {
        let host = self.host_of(segment_of(bucket) / CHUNK);
        // The chunks that one hosts follow each other.
        let next = self.directory.get(host + 1).map(|next| next.load(Ordering::Acquire));
        next.is_some_and(|next| usize::from(next) == host)
    }

    /// Returns the chunks whose keys the chunk of a bucket hosts.
    fn sharing(&self, bucket: usize) -> Range<usize> {
        self.hosted_by(self.host_of(segment_of(bucket) / CHUNK))
    }

    fn hosted_by(&self, host: usize) -> Range<usize> {
        let others = self.directory[host..].iter();
        let hosted = others.take_while(|other| usize::from(other.load(Ordering::Acquire)) == host);
        host..host + hosted.count()
    }

    /// Notes, under the lock, the key of which chunk gets a slot.
    pub(in crate::store::memory) fn note_chunk(
        &self,
        state: &mut SegmentState,
        bucket: usize,
        slot: &Slot,
    ) {
        let first = self.bucket(bucket).all_slots().as_ptr();
        let way = (std::ptr::from_ref(slot) as usize - first as usize) / size_of::<Slot>();
        let chunks = state.chunk_of.get_or_insert_with(|| Box::new([0; SLOTS]));
        chunks[bucket * WAYS % SLOTS + way] = (segment_of(bucket) / CHUNK) as u16;
    }

    /// Splits the chunk of a bucket until that is crowded no more, or has a chunk of its own.
    #[cold]
    pub(in crate::store::memory) fn relieve(&self, bucket: usize) {
        loop {
            let hosted = self.sharing(bucket);
            if hosted.len() < 2 {
                return;
            }
            self.split(&hosted);
            if self.bucket(bucket).in_use() < CROWDED {
                return;
            }
        }
    }

    /// Splits a chunk that hosts the keys of several: those of the upper half get one of
    /// their own. It waits for the checks that have locks of the chunk, and others wait for
    /// it.
    ///
    /// A check that has read a slot without a lock may charge it until it is claimed, and not
    /// from then on. All slots that move are claimed before the first of them is free at its
    /// old place, so that a check which no longer finds a ban there charges nothing, either.
    /// And they are free there only once the directory leads to the new place: whoever does
    /// not find a slot sees in the directory that it may have moved.
    fn split(&self, hosted: &Range<usize>) {
        let mut new = new_chunk();
        let old = self.chunk(hosted.start);
        let mut locked: Vec<MutexGuard<'_, SegmentState>> = old.iter().map(Segment::lock).collect();
        // Else another has split it.
        if self.hosted_by(hosted.start) != *hosted {
            return;
        }
        let middle = hosted.start + hosted.len().div_ceil(2);
        for ((segment, state), new) in old.iter().zip(&mut locked).zip(new.iter_mut()) {
            segment.copy_upper(state, middle, new);
            new.state_mut().chunk_of.take_if(|_| hosted.end - middle == 1);
        }
        // Nobody else sets it: that takes the locks of this chunk.
        _ = self.chunks[middle].set(new);
        self.publish(middle..hosted.end);
        for (segment, state) in old.iter().zip(&mut locked) {
            segment.free_upper(state, middle);
            state.chunk_of.take_if(|_| middle - hosted.start == 1);
        }
    }

    /// Has the first of those chunks host the others. Its locks are released once the directory
    /// is whole: whoever has one sees which chunks share it, and may split it in turn.
    fn publish(&self, hosted: Range<usize>) {
        let locked: Vec<_> = self.chunk(hosted.start).iter().map(Segment::lock).collect();
        for chunk in &self.directory[hosted.clone()] {
            chunk.store(hosted.start as u16, Ordering::Release);
        }
        drop(locked);
    }
}

impl Segment {
    /// Copies the slots of the chunks from `middle` on, which are claimed from then on.
    fn copy_upper(&self, state: &mut SegmentState, middle: usize, new: &mut Self) {
        new.set_hides_bans(self.hides_bans());
        new.set_has_displaced(self.has_displaced());
        new.overflowed.store(self.overflowed.load(Ordering::Relaxed), Ordering::Relaxed);
        let copy = new.state_mut();
        // Rounded up, and by the hash: nobody finds less than the truth in either.
        copy.displaced = state.displaced.clone();
        copy.chunk_of = state.chunk_of.clone();
        copy.wide = vec![None; state.wide.len()].into();
        for (at, slot) in self.upper(state.chunk_of.as_deref(), middle) {
            let (tag, payload) = (slot.tag(), slot.claim());
            if tag.is_wide() {
                new.state_mut().wide[payload as usize] = state.wide[payload as usize].take();
            }
            new.slot(at).release(tag, payload);
        }
    }

    /// Frees the slots that were copied.
    fn free_upper(&self, state: &SegmentState, middle: usize) {
        for (_, slot) in self.upper(state.chunk_of.as_deref(), middle) {
            slot.release(Tag::FREE, 0);
        }
    }

    /// Returns the slots that keys of the chunks from `middle` on have.
    fn upper<'a>(
        &'a self,
        chunk_of: Option<&'a [u16; SLOTS]>,
        middle: usize,
    ) -> impl Iterator<Item = (usize, &'a Slot)> {
        let chunks = chunk_of.into_iter().flatten().enumerate();
        let upper = chunks.filter(move |(_, chunk)| usize::from(**chunk) >= middle);
        let slots = upper.map(|(at, _)| (at, self.slot(at)));
        slots.filter(|(_, slot)| !slot.tag().is_free())
    }

    fn slot(&self, at: usize) -> &Slot {
        &self.bucket(at / WAYS).all_slots()[at % WAYS]
    }

    fn state_mut(&mut self) -> &mut SegmentState {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

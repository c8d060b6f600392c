//! Eviction: which key of a full bucket gives its slot to a newcomer. See
//! [`MemoryStore`](super::MemoryStore).

mod idle_keys;

use smallvec::SmallVec;

use super::{
    locking::LockedSegments,
    slot::{Slot, Tag, Word},
    table::Bucket,
};
use crate::{
    algorithm::{Usage, UsageBound},
    policy::CounterSpec,
    time::Timestamp,
};

/// One newcomer of so many counts anew which lines have overflowed.
const RECOUNT_EVERY: u64 = 64;

/// The least indebted of the slots that one counter has in a bucket: that of
/// the smallest payload.
struct Candidate<'a> {
    slot: &'a Slot,
    tag: Tag,
    payload: u64,
}

impl<'a> LockedSegments<'a> {
    /// Returns a slot for a newcomer of that tag, claimed and empty: a free one, an expired
    /// one, or that of the least indebted key, whose usage is remembered. `None`
    /// if all slots are claimed or have bans in force.
    pub(super) fn make_room(
        &mut self,
        bucket: usize,
        newcomer: Tag,
        now: Timestamp,
    ) -> Option<&'a Slot> {
        let is_shared = self.shared.table.is_shared(bucket);
        if is_shared {
            self.thin_out(bucket, now);
        }
        let slot = self.find_room(bucket, newcomer, now)?;
        let (tag, payload) = (slot.tag(), slot.claim());
        if !tag.is_free() {
            self.displace(bucket, tag, payload, now);
        }
        let segment = self.segment(bucket);
        // Not by the lowest bits, which choose the line.
        if (newcomer.hash() >> 32).is_multiple_of(RECOUNT_EVERY) {
            segment.recount_overflowed(bucket);
        }
        segment.note_slot(bucket, newcomer, slot);
        if is_shared {
            self.shared.table.note_chunk(self.state(bucket), bucket, slot);
        }
        Some(slot)
    }

    fn find_room(&mut self, bucket: usize, newcomer: Tag, now: Timestamp) -> Option<&'a Slot> {
        let slots = self.bucket(bucket).slots(self.shared.table.ways());
        // Mostly a full bucket is of one counter: it is found in a quarter of the instructions.
        if let Some(words) = Words::of_one_counter(slots) {
            let stale = self.stale_in_line(slots, &words, newcomer, now);
            return Some(stale.unwrap_or(words.least));
        }
        let free = free_slot(slots, newcomer);
        free.or_else(|| self.least_indebted(bucket, &candidates(slots), now))
    }

    /// Returns the least indebted slot of a newcomer's first line, if that keeps nothing any
    /// more, and is no newer than the middle between the oldest of the full bucket and the
    /// newest. So keys are in the line where they are looked for first, however many have come
    /// and gone: a check took 64 ns in place of 44 where the oldest of the bucket was taken
    /// each time. (Where any was that keeps nothing, five keys of a line displaced one another
    /// again and again.)
    #[inline]
    fn stale_in_line(
        &self,
        slots: &'a [Slot],
        of_bucket: &Words<'a>,
        newcomer: Tag,
        now: Timestamp,
    ) -> Option<&'a Slot> {
        let (id, spec) = self.own?;
        let line = slots.get(Bucket::first_line_numbers(newcomer))?;
        let Words { least, smallest, .. } = Words::of_one_counter(line)?;
        let is_stale = least.tag().id() == Some(id)
            && smallest.payload() <= of_bucket.middle()
            && spec.encoding.is_unused(smallest.payload(), now, self.shared.origin);
        is_stale.then_some(least)
    }

    fn least_indebted(
        &mut self,
        bucket: usize,
        candidates: &[Candidate<'a>],
        now: Timestamp,
    ) -> Option<&'a Slot> {
        let mut least: Option<(u32, &'a Slot)> = None;
        for Candidate { slot, tag, payload } in candidates {
            let fill = match self.fill(bucket, *tag, *payload, now) {
                Some(0) => return Some(slot),
                Some(fill) => fill,
                None => continue,
            };
            if least.is_none_or(|(lowest, _)| fill < lowest) {
                least = Some((fill, slot));
            }
        }
        least.map(|(_, slot)| slot)
    }

    /// Frees a slot if its state has expired; returns whether it did.
    pub(super) fn free_if_expired(&mut self, bucket: usize, slot: &Slot) -> bool {
        // Claimed first: it may be charged until then.
        let (tag, payload, now) = (slot.tag(), slot.claim(), self.shared.clock.now());
        let is_expired = self.fill(bucket, tag, payload, now) == Some(0);
        if is_expired {
            self.forget_wide(bucket, tag, payload);
            slot.release(Tag::FREE, 0);
        } else {
            slot.release(tag, payload);
        }
        is_expired
    }

    /// How indebted the key of a slot is: 0 if its state has expired, `None` if it
    /// has a ban in force.
    fn fill(&mut self, bucket: usize, tag: Tag, payload: u64, now: Timestamp) -> Option<u32> {
        if tag.is_ban() {
            return (payload <= now.micros_since(self.shared.origin)).then_some(0);
        }
        // Without a counter nobody can read it any more.
        let Some(spec) = tag.id().and_then(|id| self.shared.counter_ids.spec(id)) else {
            return Some(0);
        };
        let usage: Usage = self.own_usage(bucket, tag, payload, &spec, now);
        if usage.is_expired() { Some(0) } else { Some(usage.fill().max(1)) }
    }

    /// Remembers what a displaced key has used, and forgets its state.
    fn displace(&mut self, bucket: usize, tag: Tag, payload: u64, now: Timestamp) {
        match (tag.id(), self.own) {
            (None, _) => self.hide_ban(bucket, tag),
            // Mostly: read from the check, and not from the table of all counters.
            (Some(id), Some((own, spec))) if id == own => {
                self.remember_displaced(bucket, tag, payload, spec, now);
            }
            (Some(id), _) => {
                if let Some(spec) = self.shared.counter_ids.spec(id) {
                    self.remember_displaced(bucket, tag, payload, &spec, now);
                }
            }
        }
        self.forget_wide(bucket, tag, payload);
    }

    /// Notes that a ban which has ended has no slot any more: it is in force again if the clock
    /// steps back.
    fn hide_ban(&self, bucket: usize, tag: Tag) {
        if tag.is_ban() && self.shared.clock.may_step_back() {
            self.segment(bucket).set_hides_bans(true);
        }
    }

    fn remember_displaced(
        &mut self,
        bucket: usize,
        tag: Tag,
        payload: u64,
        spec: &CounterSpec,
        now: Timestamp,
    ) {
        let bound = if tag.is_wide() {
            let usage: Usage = self.own_usage(bucket, tag, payload, spec, now);
            usage.bound()
        } else {
            // It may have been charged until it was claimed, and what lies far ahead of an
            // earlier instant counts as none.
            let bound = |now| spec.encoding.bound(payload, now, self.shared.origin);
            bound(now).or_else(|| bound(self.shared.clock.now()))
        };
        self.remember(bucket, tag, spec, bound, now);
    }

    /// Remembers what a key has used that has no slot from now on: `None` if nothing.
    pub(super) fn remember(
        &mut self,
        bucket: usize,
        tag: Tag,
        spec: &CounterSpec,
        bound: Option<UsageBound>,
        now: Timestamp,
    ) {
        if let Some(bound) = bound.filter(|_| spec.is_remembered) {
            self.segment(bucket).set_has_displaced(true);
            self.state(bucket).displaced.insert(tag, spec, bound, now);
        }
    }
}

/// Returns a free slot, in the newcomer's first line if there is one.
fn free_slot(slots: &[Slot], newcomer: Tag) -> Option<&Slot> {
    let first = Bucket::first_line_numbers(newcomer).start;
    let (last, first) = slots.split_at(first.min(slots.len()));
    let is_free = |slot: &&Slot| slot.tag().is_free();
    first.iter().find(is_free).or_else(|| last.iter().find(is_free))
}

/// Returns the slot of the smallest payload of each counter and among the bans, and every
/// wide one, but for those that are claimed.
fn candidates(slots: &[Slot]) -> SmallVec<[Candidate<'_>; 4]> {
    let mut candidates: SmallVec<[Candidate<'_>; 4]> = SmallVec::new();
    for new in unclaimed(slots) {
        let alike = |other: &&mut Candidate<'_>| other.tag.kind() == new.tag.kind();
        match candidates.iter_mut().find(alike).filter(|_| !new.tag.is_wide()) {
            Some(other) if other.payload <= new.payload => {}
            Some(other) => *other = new,
            None => candidates.push(new),
        }
    }
    candidates
}

/// The words of slots that are all of one counter and at rest.
struct Words<'a> {
    /// The least indebted slot, whose word is the smallest.
    least: &'a Slot,
    smallest: Word,
    largest: Word,
}

impl<'a> Words<'a> {
    #[inline]
    fn of_one_counter(slots: &'a [Slot]) -> Option<Self> {
        let kind = slots.first()?.tag();
        if !kind.is_of_word() {
            return None;
        }
        let first = slots.first()?.word_of_counter(kind)?;
        let (mut least, mut smallest, mut largest) = (0, first, first);
        for (at, slot) in slots.iter().enumerate() {
            let word = slot.word_of_counter(kind)?;
            // Without a branch, which the processor would guess wrong several times.
            least = if word < smallest { at } else { least };
            smallest = smallest.min(word);
            largest = largest.max(word);
        }
        Some(Self { least: slots.get(least)?, smallest, largest })
    }

    /// Returns the payload in the middle between the smallest and the largest.
    fn middle(&self) -> u64 {
        self.smallest.payload().midpoint(self.largest.payload())
    }
}

fn unclaimed(slots: &[Slot]) -> impl Iterator<Item = Candidate<'_>> {
    let candidate = |(slot, (tag, payload))| Candidate { slot, tag, payload };
    slots.iter().filter_map(|slot| Some((slot, slot.unclaimed()?))).map(candidate)
}

#[cfg(test)]
mod tests;

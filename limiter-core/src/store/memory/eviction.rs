//! Eviction: which key of a full bucket gives its slot to a newcomer. See
//! [`MemoryStore`](super::MemoryStore).

use smallvec::SmallVec;

use super::{
    locking::LockedSegments,
    slot::{Slot, Tag},
    table::{Bucket, Location},
};
use crate::{
    algorithm::{Usage, UsageBound},
    policy::CounterSpec,
    time::Timestamp,
};

/// The least indebted of the slots that one counter has in a bucket: that of
/// the smallest payload.
struct Candidate<'a> {
    slot: &'a Slot,
    tag: Tag,
    payload: u64,
}

impl<'a> LockedSegments<'a> {
    /// Returns a slot for a newcomer, claimed and empty: a free one, an expired
    /// one, or that of the least indebted key, whose usage is remembered. `None`
    /// if all slots are claimed or have bans in force.
    pub(super) fn make_room(&mut self, location: Location, now: Timestamp) -> Option<&'a Slot> {
        let slot = self.find_room(location, now)?;
        self.shared.segment(location).note_slot(location, slot);
        Some(slot)
    }

    fn find_room(&mut self, location: Location, now: Timestamp) -> Option<&'a Slot> {
        let slots = self.bucket(location.bucket).slots(self.shared.table.ways());
        // Mostly a full bucket is of one counter: it is found in a quarter of the instructions.
        let slot = if let Some(least) = least_of_one_counter(slots) {
            least
        } else if let Some(free) = free_slot(slots, location) {
            free.claim();
            return Some(free);
        } else {
            self.least_indebted(location, &candidates(slots), now)?
        };
        let (tag, payload) = (slot.tag(), slot.claim());
        self.displace(location, tag, payload, now);
        Some(slot)
    }

    fn least_indebted(
        &mut self,
        location: Location,
        candidates: &[Candidate<'a>],
        now: Timestamp,
    ) -> Option<&'a Slot> {
        let mut least: Option<(u32, &'a Slot)> = None;
        for Candidate { slot, tag, payload } in candidates {
            let fill = match self.fill(location.bucket, *tag, *payload, now) {
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
    fn displace(&mut self, location: Location, tag: Tag, payload: u64, now: Timestamp) {
        match (tag.id(), self.own) {
            (None, _) => self.hide_ban(location, tag),
            // Mostly: read from the check, and not from the table of all counters.
            (Some(id), Some((own, spec))) if id == own => {
                self.remember_displaced(location, tag, payload, spec, now);
            }
            (Some(id), _) => {
                if let Some(spec) = self.shared.counter_ids.spec(id) {
                    self.remember_displaced(location, tag, payload, &spec, now);
                }
            }
        }
        self.forget_wide(location.bucket, tag, payload);
    }

    /// Notes that a ban which has ended has no slot any more: it is in force again if the clock
    /// steps back.
    fn hide_ban(&self, location: Location, tag: Tag) {
        if tag.is_ban() && self.shared.clock.may_step_back() {
            self.shared.segment(location).set_hides_bans(true);
        }
    }

    fn remember_displaced(
        &mut self,
        location: Location,
        tag: Tag,
        payload: u64,
        spec: &CounterSpec,
        now: Timestamp,
    ) {
        let bound = if tag.is_wide() {
            let usage: Usage = self.own_usage(location.bucket, tag, payload, spec, now);
            usage.bound()
        } else {
            // It may have been charged until it was claimed, and what lies far ahead of an
            // earlier instant counts as none.
            let bound = |now| spec.encoding.bound(payload, now, self.shared.origin);
            bound(now).or_else(|| bound(self.shared.clock.now()))
        };
        self.remember(location, tag, spec, bound, now);
    }

    /// Remembers what a key has used that has no slot from now on: `None` if nothing.
    pub(super) fn remember(
        &mut self,
        location: Location,
        tag: Tag,
        spec: &CounterSpec,
        bound: Option<UsageBound>,
        now: Timestamp,
    ) {
        if let Some(bound) = bound.filter(|_| spec.is_remembered) {
            self.shared.segment(location).set_has_displaced(true);
            self.state(location.bucket).displaced.insert(tag, spec, bound, now);
        }
    }
}

/// Returns a free slot, in the line that the digest says if there is one.
fn free_slot(slots: &[Slot], Location { digest, .. }: Location) -> Option<&Slot> {
    let (last, first) = slots.split_at(Bucket::first(digest).min(slots.len()));
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

/// Returns the least indebted slot of a full bucket, if all are of one counter and at rest.
fn least_of_one_counter(slots: &[Slot]) -> Option<&Slot> {
    let kind = slots.first()?.tag();
    if !kind.is_of_word() {
        return None;
    }
    let (mut least, mut smallest) = (0, slots.first()?.word_of_counter(kind)?);
    for (at, slot) in slots.iter().enumerate() {
        let word = slot.word_of_counter(kind)?;
        // Without a branch, which the processor would guess wrong several times.
        least = if word < smallest { at } else { least };
        smallest = smallest.min(word);
    }
    slots.get(least)
}

fn unclaimed(slots: &[Slot]) -> impl Iterator<Item = Candidate<'_>> {
    let candidate = |(slot, (tag, payload))| Candidate { slot, tag, payload };
    slots.iter().filter_map(|slot| Some((slot, slot.unclaimed()?))).map(candidate)
}

//! The segments that a check needs, locked, and the slots in them that it has
//! claimed.

mod locked_segment;

use std::ptr;

use smallvec::SmallVec;

use self::locked_segment::LockedSegment;
use super::{
    Shared,
    counter_ids::Id,
    slot::{Slot, Tag},
    table::{Bucket, Location, Segment, SegmentState, WAYS, segment_of},
};
use crate::{
    algorithm::{Arithmetic, State, Usage},
    policy::CounterSpec,
    time::Timestamp,
};

/// Segments under their locks. Slots that were read in them are claimed until
/// they are written; what is left is released unchanged at the end.
pub(super) struct LockedSegments<'a> {
    pub(super) shared: &'a Shared,
    /// A counter of the check, whose id stands for it while the locks are held.
    pub(super) own: Option<(Id, &'a CounterSpec)>,
    segments: SmallVec<[LockedSegment<'a>; 1]>,
    claims: SmallVec<[Claim<'a>; 4]>,
    /// A bucket whose chunk is to be split once the locks are released.
    pub(super) crowded: Option<usize>,
}

/// A slot that a check has claimed, or the lack of one, so that it is not looked for twice.
struct Claim<'a> {
    bucket: usize,
    /// `None` where the key has no slot.
    slot: Option<&'a Slot>,
    tag: Tag,
    payload: u64,
}

/// The content of a slot.
enum Content {
    Nothing,
    WordEncoding(u64),
    Wide(State),
}

impl<'a> LockedSegments<'a> {
    #[inline]
    pub(super) fn lock(shared: &'a Shared, locations: &[Location]) -> Self {
        let segments = LockedSegment::lock_all(&shared.table, locations);
        Self { shared, own: None, segments, claims: SmallVec::new(), crowded: None }
    }

    /// Claims the slot of a key's counter, if it has one: before the clock is read. A charge
    /// without a lock that came in between would be of a later instant, and a small bucket
    /// that is far ahead of the clock counts as none.
    pub(super) fn claim_counter(&mut self, location: Location, spec: &CounterSpec, id: Id) {
        let location = location.of(spec.namespace, &self.shared.table);
        self.claim(location, Tag::counter(location.digest, spec.namespace, id));
    }

    /// Returns a bucket that may get room for the slots that were not found, and has none.
    pub(super) fn cramped_bucket(&self) -> Option<usize> {
        let missing = self.claims.iter().filter(|claim| claim.slot.is_none());
        let mut buckets = missing.clone().map(|claim| claim.bucket);
        buckets.find(|bucket| {
            let needed = missing.clone().filter(|claim| claim.bucket == *bucket).count();
            let may_grow = needed < WAYS && self.shared.table.is_shared(*bucket);
            may_grow && self.bucket(*bucket).in_use() + needed > WAYS
        })
    }

    /// Returns what a key has used of a counter, and claims its slot. Without a
    /// slot, it is what the key may have used before it was displaced.
    pub(super) fn read<S: Arithmetic>(
        &mut self,
        location: Location,
        spec: &CounterSpec,
        id: Id,
        now: Timestamp,
    ) -> Usage<S> {
        let location = location.of(spec.namespace, &self.shared.table);
        let tag = Tag::counter(location.digest, spec.namespace, id);
        let at = self.claim(location, tag);
        if let Claim { slot: Some(_), tag: writer, payload, .. } = self.claims[at] {
            if writer == tag && !self.shared.counter_ids.is_shared(id, spec) {
                return spec.encoding.unpack(payload, now, self.shared.origin);
            }
            return self.usage(location.bucket, writer, payload, spec, now);
        }
        let displaced = self.displaced(location, tag, spec, now);
        displaced.unwrap_or_else(|| Usage::at(spec.quota, None, now))
    }

    /// Returns what a key without a slot may have used of a counter before it was displaced.
    #[inline]
    pub(super) fn displaced<S: Arithmetic>(
        &mut self,
        location: Location,
        tag: Tag,
        spec: &CounterSpec,
        now: Timestamp,
    ) -> Option<Usage<S>> {
        if !spec.is_remembered {
            return None;
        }
        self.state(location.bucket).displaced.find(tag, spec, now)
    }

    /// Writes what a key has used of a counter.
    pub(super) fn write<S: Arithmetic>(
        &mut self,
        location: Location,
        spec: &CounterSpec,
        id: Id,
        usage: &Usage<S>,
    ) {
        let location = location.of(spec.namespace, &self.shared.table);
        let tag = Tag::counter(location.digest, spec.namespace, id);
        let slot = self.take_slot(location, tag);
        let is_shared = self.shared.counter_ids.is_shared(id, spec);
        let encoding = spec.encoding.pack(usage, self.shared.origin);
        let content = match encoding.filter(|_| !is_shared) {
            Some(payload) => Content::WordEncoding(payload),
            None => usage.state().map_or(Content::Nothing, Content::Wide),
        };
        let slot = match (slot, &content) {
            (None, Content::Nothing) => return,
            (None, _) => self.make_room(location.bucket, tag, usage.now()),
            (slot, _) => slot,
        };
        match slot {
            Some(slot) => self.put(location, slot, tag, content),
            // All slots of the bucket are this check's own, or have bans.
            None => self.remember(location.bucket, tag, spec, usage.bound(), usage.now()),
        }
    }

    /// Removes what a key has used of a counter, or its ban.
    pub(super) fn remove(&mut self, location: Location, tag: Tag) {
        if let Some(slot) = self.take_slot(location, tag) {
            slot.release(Tag::FREE, 0);
        }
    }

    /// Claims the slot of that key and namespace for good; its wide state is gone.
    pub(super) fn take_slot(&mut self, location: Location, tag: Tag) -> Option<&'a Slot> {
        let at = self.claim(location, tag);
        let Claim { slot, tag, payload, .. } = self.claims.swap_remove(at);
        if slot.is_some() {
            self.forget_wide(location.bucket, tag, payload);
        }
        slot
    }

    /// Returns the position of the claim of that key and namespace.
    fn claim(&mut self, location: Location, tag: Tag) -> usize {
        let bucket = location.bucket;
        let known = |claim: &Claim<'_>| claim.bucket == bucket && claim.tag.is_same(tag);
        if let Some(at) = self.claims.iter().position(known) {
            return at;
        }
        let slot = self.shared.segment(location).find_same(bucket, tag);
        let is_claimed = |claim: &Claim<'_>| {
            slot.zip(claim.slot).is_some_and(|(one, other)| ptr::eq(one, other))
        };
        if let Some(at) = self.claims.iter().position(is_claimed) {
            return at;
        }
        let (tag, payload) = slot.map_or((tag, 0), |slot| (slot.tag(), slot.claim()));
        self.claims.push(Claim { bucket, slot, tag, payload });
        self.claims.len() - 1
    }

    fn put(&mut self, location: Location, slot: &Slot, tag: Tag, content: Content) {
        match content {
            Content::Nothing => slot.release(Tag::FREE, 0),
            Content::WordEncoding(payload) => slot.release(tag, payload),
            Content::Wide(state) => {
                let payload = self.state(location.bucket).keep_wide(state);
                slot.release(tag.wide(), payload);
            }
        }
    }

    /// Returns what a slot amounts to, to a quota that may have other numbers than
    /// the one that has written it.
    pub(super) fn usage<S: Arithmetic>(
        &mut self,
        bucket: usize,
        tag: Tag,
        payload: u64,
        spec: &CounterSpec,
        now: Timestamp,
    ) -> Usage<S> {
        let writer = if tag.is_wide() { None } else { tag.id() };
        match writer.and_then(|id| self.shared.counter_ids.spec(id)) {
            Some(writer) if writer.quota != spec.quota => {
                let state = writer.encoding.state(payload, now, self.shared.origin);
                Usage::at(spec.quota, state, now)
            }
            _ => self.own_usage(bucket, tag, payload, spec, now),
        }
    }

    /// Returns what a slot amounts to, to the quota that has written it.
    pub(super) fn own_usage<S: Arithmetic>(
        &mut self,
        bucket: usize,
        tag: Tag,
        payload: u64,
        spec: &CounterSpec,
        now: Timestamp,
    ) -> Usage<S> {
        if tag.is_wide() {
            let wide = &self.state(bucket).wide;
            let state = usize::try_from(payload).ok().and_then(|at| wide.get(at)?.clone());
            return Usage::at(spec.quota, state, now);
        }
        spec.encoding.unpack(payload, now, self.shared.origin)
    }

    pub(super) fn forget_wide(&mut self, bucket: usize, tag: Tag, payload: u64) {
        if tag.is_wide()
            && let Some(state) = self.state(bucket).wide.get_mut(payload as usize)
        {
            *state = None;
        }
    }

    pub(super) fn segment(&self, bucket: usize) -> &'a Segment {
        self.shared.table.segment(segment_of(bucket))
    }

    pub(super) fn bucket(&self, bucket: usize) -> &'a Bucket {
        self.shared.table.bucket(bucket)
    }

    #[inline]
    pub(super) fn state(&mut self, bucket: usize) -> &mut SegmentState {
        LockedSegment::of(&mut self.segments, &self.shared.table, bucket)
    }
}

impl Drop for LockedSegments<'_> {
    /// Releases the slots that were read and not written, also after a panic, and the locks.
    fn drop(&mut self) {
        for Claim { slot, tag, payload, .. } in &self.claims {
            slot.inspect(|slot| slot.release(*tag, *payload));
        }
        if let Some(crowded) = self.crowded {
            self.segments.clear();
            self.shared.table.relieve(crowded);
        }
    }
}

//! Keys that give up their slots before the table grows.

use std::time::Duration;

use crate::{
    store::memory::{
        locking::LockedSegments,
        slot::{Slot, Tag},
        table::CROWDED,
    },
    time::Timestamp,
};

/// How long a key keeps its slot in a crowded bucket once nothing of it is used any more: with less,
/// a client that comes every few seconds would be a newcomer each time, which takes four times as
/// long.
const IDLE: Duration = Duration::from_secs(60);

impl<'a> LockedSegments<'a> {
    /// Frees the slots of idle keys in a crowded bucket, or else has its chunk split, if that hosts
    /// the keys of others. So the table grows with the keys that are there, and not with all that
    /// ever came.
    pub(super) fn thin_out(&mut self, bucket: usize, now: Timestamp) {
        let slots = self.bucket(bucket);
        if slots.in_use() < CROWDED {
            return;
        }
        let unclaimed = |slot: &'a Slot| Some((slot, slot.unclaimed()?));
        // A slot that is claimed is this check's own.
        for (slot, (tag, payload)) in slots.all_slots().iter().filter_map(unclaimed) {
            if self.is_idle(tag, payload, now) {
                self.free_if_expired(bucket, slot);
            }
        }
        if slots.in_use() >= CROWDED {
            self.crowded = Some(bucket);
        }
    }

    /// Returns true if a slot has a counter that has been charged nothing and of which nothing
    /// has been used for [`IDLE`], or whose policy is gone. A state that is no word is idle once
    /// it has expired, unless the clock may step back to before that. Bans keep their slots until
    /// others need them.
    fn is_idle(&self, tag: Tag, payload: u64, now: Timestamp) -> bool {
        let Some(id) = tag.id() else { return false };
        let Some(spec) = self.shared.counter_ids.spec(id) else { return true };
        let since = now.as_micros().saturating_sub(IDLE.as_micros() as u64);
        if tag.is_wide() {
            return !self.shared.clock.may_step_back();
        }
        let (encoding, since) = (&spec.encoding, Timestamp::from_micros(since));
        let one = encoding.unit_at(since, self.shared.origin);
        one.is_some_and(|one| payload < one)
            && encoding.is_unused(payload, since, self.shared.origin)
    }
}

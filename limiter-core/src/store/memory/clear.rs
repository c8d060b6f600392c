//! Removal of everything that a store keeps, for the tests of an application.

use super::{
    MemoryStore, Shared,
    locking::LockedSegments,
    slot::Tag,
    table::{Location, SegmentState},
};

impl MemoryStore {
    /// Forgets all counters, strikes and bans: between two tests of an application that
    /// share a limiter. Checks may go on; each finds everything of a key, or nothing.
    ///
    /// ```
    /// use limiter_core::{Key, Limiter, MemoryStore, Policy};
    ///
    /// # futures_executor::block_on(async {
    /// let store = MemoryStore::new();
    /// let policy = Policy::new("api", "1/hour")?;
    /// let limiter = Limiter::builder().store(store.clone()).policy(policy).build().await?;
    /// let api = limiter.policy("api")?;
    /// let client = api.subjects_of(&Key::user("alice"));
    /// assert!(api.check(&client, 1).await?.is_allowed());
    /// assert!(!api.check(&client, 1).await?.is_allowed());
    /// store.clear();
    /// assert!(api.check(&client, 1).await?.is_allowed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn clear(&self) {
        let shared = &*self.0;
        for bucket in shared.table.needed_buckets() {
            shared.clear_bucket(bucket);
        }
        shared.bans.clear(|segment| shared.table.segment(segment).lock());
    }
}

impl Shared {
    fn clear_bucket(&self, bucket: usize) {
        let location = Location { digest: 0, bucket };
        let mut locked = LockedSegments::lock(self, std::iter::once(location));
        for slot in locked.bucket(bucket).slots_from(0).filter(|slot| !slot.tag().is_free()) {
            let (tag, payload) = (slot.tag(), slot.claim());
            locked.forget_wide(bucket, tag, payload);
            slot.release(Tag::FREE, 0);
        }
        let SegmentState { displaced, .. } = locked.state(bucket);
        *displaced = Default::default();
        self.segment(location).set_has_displaced(false);
        self.segment(location).note_empty(bucket);
    }
}

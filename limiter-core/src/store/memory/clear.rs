//! Removal of everything that a store keeps, for the tests of an application.

use std::ops::Range;

use super::{
    MemoryStore, Shared, displaced_sketch::DisplacedUsage, locking::LockedSegments, slot::Tag,
    table::Location,
};
use crate::expiring_cache::{CacheKey, CacheKeyPart};

impl MemoryStore {
    /// Forgets all counters, strikes and bans: between two tests of an application that
    /// share a limiter. Checks may go on; each finds all that a key has used, or nothing, and
    /// its ban ends a moment later.
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
        for buckets in shared.table.needed_segments() {
            shared.clear_segment(buckets);
        }
        // After the strikes that may bring another.
        for name in shared.bans.names() {
            shared.clear_ban(&name);
        }
    }
}

impl Shared {
    /// Removes a ban and its slot in one step.
    fn clear_ban(&self, name: &CacheKey) {
        let Some(CacheKeyPart { namespace, key, .. }) = name.parts.first() else { return };
        let location = self.location(key).of(*namespace, &self.table);
        let mut locked = LockedSegments::lock(self, &[location]);
        self.bans.remove(name);
        locked.remove(location, Tag::ban(location.digest, *namespace));
    }

    /// Removes all of a segment but its bans: from then on they hold by the cache alone.
    fn clear_segment(&self, buckets: Range<usize>) {
        let location = Location { digest: 0, bucket: buckets.start };
        let mut locked = LockedSegments::lock(self, &[location]);
        let segment = self.segment(location);
        for bucket in buckets {
            let slots = locked.bucket(bucket).all_slots().iter();
            for slot in slots.filter(|slot| !slot.tag().is_free()) {
                let (tag, payload) = (slot.tag(), slot.claim());
                let may_be_in_force = self.bans.has_any(bucket) || self.table.is_shared(bucket);
                if tag.is_ban() && may_be_in_force {
                    segment.set_hides_bans(true);
                }
                locked.forget_wide(bucket, tag, payload);
                slot.release(Tag::FREE, 0);
            }
            segment.recount_overflowed(bucket);
        }
        locked.state(location.bucket).displaced = DisplacedUsage::default();
        segment.set_has_displaced(false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        ban::{BanChange, BanRule},
        check::{Check, Subject},
        key::Key,
        policy::Policy,
        quota::Quota,
    };

    /// A ban that comes while the buckets are cleared, behind those that were there before.
    #[test]
    fn a_ban_that_comes_meanwhile_holds() {
        let minute = Duration::from_secs(60);
        let rule = BanRule::after_strikes(3).within(minute).for_duration(minute).unwrap();
        let policies = [Policy::new("api", Quota::per_minute(3).unwrap()).unwrap().with_ban(rule)];
        let subjects = [Subject::new(Key::user("alice"))];
        let check = Check::new(&policies, &subjects, 1);
        let store = MemoryStore::builder().max_keys(16).build();
        assert!(store.decide_at_once(&check).unwrap().is_allowed());
        store.0.change_ban(check.item(0), BanChange::Ban(minute)).unwrap();
        assert!(!store.decide_at_once(&check).unwrap().is_allowed());
        store.0.clear_segment(0..1);
        assert!(store.0.bans.names().next().is_some());
        assert!(!store.decide_at_once(&check).unwrap().is_allowed());
        store.clear();
        assert!(store.0.bans.names().next().is_none());
        assert!(store.decide_at_once(&check).unwrap().is_allowed());
    }

    #[test]
    fn lines_that_overflowed_are_as_new() {
        let policies = [Policy::new("api", Quota::per_hour(3).unwrap()).unwrap()];
        let store = MemoryStore::builder().max_keys(16).build();
        for n in 0..40 {
            let subjects = [Subject::new(Key::custom("n", &n.to_string()))];
            assert!(store.decide_at_once(&Check::new(&policies, &subjects, 1)).is_ok());
        }
        assert!(store.0.table.segment(0).has_overflowed());
        store.clear();
        assert!(!store.0.table.segment(0).has_overflowed());
    }
}

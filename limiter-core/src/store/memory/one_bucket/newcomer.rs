//! The check of a newcomer: of one quota, by a key that has no slot.
//!
//! It takes the lock of the key's segment, starts from what the key may have used before it
//! was displaced, and makes room. A flood of new addresses comes this way: by the path for
//! all checks, each takes twice as long.

use super::{BucketAdmission, BucketCheck, BucketRefusal, MissingSlot, only_counter};
use crate::{
    algorithm::{Usage, Wait, WordCheck, WordUsage},
    check::{Check, Item},
    policy::Counter,
    store::memory::{MemoryStore, Shared, fast_path::Declined, locking::LockedSegments, slot::Tag},
};

impl MemoryStore {
    /// Decides a check of one quota by that algorithm, whose key has no slot.
    pub(crate) fn check_newcomer<'a, U: WordUsage>(
        &'a self,
        check: &Check<'a>,
        missing: MissingSlot<'_>,
    ) -> Result<BucketCheck<'a, U>, Declined> {
        let (item, counter) = only_counter::<U>(check)?;
        if item.may_be_banned()
            && self.0.bans.may_have(missing.of_key)
            && let Ok(refusal) = self.0.refuse_newcomer(missing, check.cost(), item, counter)
        {
            return Ok(BucketCheck::Refused(refusal));
        }
        self.0.admit_newcomer(missing, check.cost(), item, counter)
    }
}

impl Shared {
    /// Refuses a newcomer because of the ban in force on it, without a lock: clients that an
    /// operator has banned may never have been counted.
    #[inline]
    fn refuse_newcomer<'a, U: WordUsage>(
        &'a self,
        MissingSlot { of_key, location, segment, tag }: MissingSlot<'_>,
        cost: u64,
        item: Item<'_>,
        counter: &'a Counter,
    ) -> Result<BucketRefusal<'a, U>, Declined> {
        // A slot that another quota has written is its own, too. A key that is displaced has
        // that noted before its slot has another tag.
        let may_have_usage = segment.find_same(location.bucket, tag).is_some()
            || segment.has_displaced()
            || !self.is_segment_of(segment, location);
        if may_have_usage {
            return Err(Declined);
        }
        let now = self.clock.now();
        let banned_until = Some(self.slotted_ban(item, of_key, now)?.ok_or(Declined)?);
        let encoding = &counter.spec.encoding;
        let checked = U::check(encoding, None, cost, now, self.origin).ok_or(Declined)?;
        let (usage, wait) = (checked.before, checked.wait);
        let (store, digest) = (self, of_key.digest);
        Ok(BucketRefusal { store, digest, encoding, now, usage, wait, banned_until })
    }

    /// Decides by what the key may have used before it was displaced, under the lock of its
    /// segment, and makes room for it.
    #[inline(never)]
    fn admit_newcomer<'a, U: WordUsage>(
        &'a self,
        MissingSlot { of_key, location, .. }: MissingSlot<'_>,
        cost: u64,
        item: Item<'_>,
        Counter { spec, id }: &'a Counter,
    ) -> Result<BucketCheck<'a, U>, Declined> {
        let mut locked = LockedSegments::lock(self, &[location]);
        // It stands for the counter as long as the lock is held.
        let id = self.counter_ids.cached(id).ok_or(Declined)?;
        locked.own = Some((id, spec));
        let tag = Tag::counter(location.digest, spec.namespace, id);
        if self.segment(location).find_same(location.bucket, tag).is_some() {
            return Err(Declined);
        }
        let (now, encoding) = (self.clock.now(), &spec.encoding);
        let displaced: Option<Usage> = locked.displaced(location, tag, spec, now);
        let word = displaced.map(|usage| encoding.pack(&usage, self.origin).ok_or(Declined));
        let word = word.transpose()?;
        let checked = U::check(encoding, word, cost, now, self.origin);
        let WordCheck { before, after, wait, charged } = checked.ok_or(Declined)?;
        // It has been banned in between, or its refusal takes more.
        if self.slotted_ban(item, of_key, now)?.is_some() {
            return Err(Declined);
        }
        if let Some(word) = charged {
            locked.make_room(location.bucket, tag, now).ok_or(Declined)?.release(tag, word);
        }
        if wait == Wait::None {
            return Ok(BucketCheck::Admitted(BucketAdmission { encoding, now, usage: after }));
        }
        if item.may_strike() {
            return Err(Declined);
        }
        let (store, digest, usage, banned_until) = (self, location.digest, before, None);
        let refusal = BucketRefusal { store, digest, encoding, now, usage, wait, banned_until };
        Ok(BucketCheck::Refused(refusal))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        ManualClock, Timestamp,
        algorithm::{Grains, Window, Windows},
        ban::{BanChange, BanRule},
        check::Subject,
        decision::Decision,
        key::Key,
        policy::Policy,
        quota::Quota,
        store::memory::Undecided,
    };

    #[test]
    fn a_newcomer_is_charged_in_one_step_and_is_none_from_then_on() {
        check_twice::<Grains>();
        check_twice::<Window>();
        check_twice::<Windows>();
    }

    fn check_twice<U: WordUsage>() {
        let quota = Quota::per_minute(3).unwrap().with_algorithm(U::ALGORITHM).unwrap();
        let policies = [Policy::new("api", quota).unwrap()];
        // Each key displaces the one before.
        let store = MemoryStore::builder().max_keys(1).build();
        let subjects: Vec<Subject> =
            (0..2).map(|n| Subject::new(Key::custom("n", &n.to_string()))).collect();
        let of = |n: usize, cost| Check::new(&policies, &subjects[n..=n], cost);
        // Its first check gives the counter an id.
        assert!(store.decide_at_once(&of(1, 0)).unwrap().is_allowed());
        let check = of(1, 1);
        let missed = missing::<U>(&store, &check);
        for (key, cost, admitted, left) in
            [(0, 2, true, 1), (1, 1, true, 2), (0, 0, true, 1), (0, 3, false, 1)]
        {
            let decision = check_newcomer::<U>(&store, &of(key, cost));
            assert_eq!(decision.is_allowed(), admitted, "{:?}: {decision:?}", U::ALGORITHM);
            assert!(decision.quotas()[0].remaining() <= left, "{:?}: {decision:?}", U::ALGORITHM);
        }
        // It has got a slot since it was missed.
        assert!(store.check_newcomer::<U>(&check, missed).is_err(), "{:?}", U::ALGORITHM);
    }

    fn missing<'a, U: WordUsage>(store: &'a MemoryStore, check: &Check<'a>) -> MissingSlot<'a> {
        match store.check_one_bucket::<U>(check) {
            Err(Undecided::NoSlot(missing)) => missing,
            _ => panic!("a newcomer has no slot"),
        }
    }

    fn check_newcomer<U: WordUsage>(store: &MemoryStore, check: &Check<'_>) -> Decision {
        let checked = store.check_newcomer::<U>(check, missing::<U>(store, check));
        checked.ok().expect("a newcomer takes no other way").decision()
    }

    #[test]
    fn a_banned_newcomer_is_refused_without_a_lock() {
        refuse_banned_newcomer::<Grains>();
        refuse_banned_newcomer::<Window>();
        refuse_banned_newcomer::<Windows>();
    }

    /// A key that was never counted, banned by hand: the answer of the general path.
    fn refuse_banned_newcomer<U: WordUsage>() {
        let minute = Duration::from_secs(60);
        let rule = BanRule::after_strikes(3).within(minute).for_duration(minute).unwrap();
        let quota = Quota::per_minute(3).unwrap().with_algorithm(U::ALGORITHM).unwrap();
        let policies = [Policy::new("api", quota).unwrap().with_ban(rule)];
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000));
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let subjects = ["alice", "bob"].map(|user| Subject::new(Key::user(user)));
        let of = |n: usize, cost| Check::new(&policies, &subjects[n..=n], cost);
        assert!(store.decide_at_once(&of(1, 1)).unwrap().is_allowed());
        for (cost, ban) in [(1, 30), (9, 30), (0, 20)] {
            let change = BanChange::Ban(Duration::from_secs(ban));
            store.0.change_ban(of(0, 1).item(0), change).unwrap();
            let locked = store.0.segment(store.0.location(&subjects[0].key)).lock();
            let refused = check_newcomer::<U>(&store, &of(0, cost));
            drop(locked);
            let general = store.0.decide(&of(0, cost)).unwrap();
            assert_eq!(format!("{refused:?}"), format!("{general:?}"), "{:?}", U::ALGORITHM);
            clock.advance(Duration::from_secs(ban));
            assert!(check_newcomer::<U>(&store, &of(0, 0)).is_allowed(), "{:?}", U::ALGORITHM);
        }
    }
}

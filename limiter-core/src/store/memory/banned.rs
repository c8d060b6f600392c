//! The refusal of a banned key without a lock: of one policy, whose ban has a slot.
//!
//! It writes nothing. A client that goes on while it is banned has a counter in most cases,
//! but one that an operator has banned may never have had any.

use smallvec::SmallVec;

use super::{Shared, fast_path::Declined, slot::Tag, table::Location};
use crate::{
    algorithm::Usage,
    check::Check,
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    policy::Counter,
};

impl Shared {
    /// Refuses a check because of the ban in force on its key.
    pub(super) fn refuse_banned(&self, check: &Check<'_>) -> Result<Decision, Declined> {
        let bannable = check.only_item().filter(|item| item.may_be_banned());
        let item = bannable.ok_or(Declined)?;
        let location = self.location(&item.subject.key);
        if !self.bans.may_have(location) {
            return Err(Declined);
        }
        let counters = &item.policy.counters().quotas;
        let mut words: SmallVec<[Option<u64>; 4]> = SmallVec::new();
        for counter in counters {
            words.push(self.word(location, counter)?);
        }
        let now = self.clock.now();
        let until = self.slotted_ban(item, location, now)?.ok_or(Declined)?;
        let status = |(quota, (Counter { spec, .. }, word)): (usize, (&Counter, &Option<u64>))| {
            let usage = match word {
                Some(word) => spec.encoding.unpack(*word, now, self.origin),
                None => Usage::at(spec.quota, None, now),
            };
            let at = QuotaPosition::new(0, quota);
            QuotaStatus::new(at, false, usage.wait(check.cost()), usage)
        };
        let statuses = counters.iter().zip(&words).enumerate().map(status).collect();
        Ok(Decision::of(now, Some(PolicyBan { policy: 0, until }), statuses))
    }

    /// Returns the word of a key's counter; `None` where the key has used nothing of it.
    ///
    /// # Errors
    /// If that takes the lock to say.
    fn word(
        &self,
        location: Location,
        Counter { spec, id }: &Counter,
    ) -> Result<Option<u64>, Declined> {
        let id = self.counter_ids.cached(id).ok_or(Declined)?;
        let location = location.of(spec.namespace, &self.table);
        let tag = Tag::counter(location.digest, spec.namespace, id);
        let segment = self.segment(location);
        match segment.find_same(location.bucket, tag) {
            Some(slot) => Ok(Some(slot.read(tag).ok_or(Declined)?.payload())),
            // Asked after the slots: whoever displaces a key has noted it before the key's
            // slot has another tag.
            None if segment.has_displaced() => Err(Declined),
            None if !self.is_segment_of(segment, location) => Err(Declined),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        ManualClock, Timestamp,
        ban::{BanChange, BanRule},
        check::Subject,
        key::Key,
        policy::Policy,
        quota::Quotas,
        store::MemoryStore,
        time::Clock,
    };

    fn policy(quotas: &str) -> Policy {
        let minute = Duration::from_secs(60);
        let rule = BanRule::after_strikes(3).within(minute).for_duration(minute).unwrap();
        Policy::new("api", quotas.parse::<Quotas>().unwrap()).unwrap().with_ban(rule)
    }

    /// The answers of the general path, for a key with counters and for one without.
    #[test]
    fn a_ban_is_found_without_a_lock() {
        for (quotas, counted) in
            [("5/minute", 0), ("5/minute", 2), ("5/minute; 9/hour", 0), ("5/minute; 9/hour", 2)]
        {
            let (policies, store) = ([policy(quotas)], MemoryStore::new());
            let subjects = [Subject::new(Key::user("alice"))];
            let check = Check::new(&policies, &subjects, 1);
            // The ids of the counters are known once another key has been counted.
            let others = [Subject::new(Key::user("bob"))];
            assert!(store.decide_at_once(&Check::new(&policies, &others, 1)).is_ok());
            for _ in 0..counted {
                assert!(store.decide_at_once(&check).unwrap().is_allowed());
            }
            assert!(store.0.refuse_banned(&check).is_err());
            let half = BanChange::Ban(Duration::from_secs(30));
            store.0.change_ban(check.item(0), half).unwrap();
            let locked = store.0.segment(store.0.location(&subjects[0].key)).lock();
            let refusal = store.0.refuse_banned(&check).ok().unwrap();
            drop(locked);
            let general = store.0.decide(&check).unwrap();
            assert_eq!(refusal.banned_until(), general.banned_until());
            let remaining = |decision: &Decision| -> Vec<u64> {
                decision.quotas().iter().map(QuotaStatus::remaining).collect()
            };
            assert_eq!(remaining(&refusal), remaining(&general));
            assert_eq!(remaining(&refusal)[0], 5 - counted);
        }
    }

    /// A ban ends, a newcomer gets its slot, and the clock steps back to before the end.
    #[test]
    fn a_ban_holds_again_if_the_clock_steps_back() {
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000));
        let store = MemoryStore::builder().max_keys(16).clock(clock.clone()).build();
        let policies = [policy("5/minute")];
        let subject = |n: usize| [Subject::new(Key::user(&n.to_string()))];
        let banned = subject(0);
        let check = Check::new(&policies, &banned, 1);
        let change = BanChange::Ban(Duration::from_secs(10));
        store.0.change_ban(check.item(0), change).unwrap();
        let before = clock.now();
        clock.advance(Duration::from_secs(20));
        for n in 1..=16 {
            let subjects = subject(n);
            assert!(
                store.decide_at_once(&Check::new(&policies, &subjects, 1)).unwrap().is_allowed()
            );
        }
        clock.set(before);
        assert!(!store.decide_at_once(&check).unwrap().is_allowed());
    }

    /// A slot has room for 2,283 years since the store was made.
    #[test]
    fn a_ban_that_has_no_word_holds_where_one_before_had_a_slot() {
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000));
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let policies = [policy("5/minute")];
        let subjects = [Subject::new(Key::user("alice"))];
        let check = Check::new(&policies, &subjects, 1);
        for micros in [2_000_000_000, 1 << 57] {
            clock.set(Timestamp::from_micros(micros));
            assert!(store.decide_at_once(&check).unwrap().is_allowed());
            let change = BanChange::Ban(Duration::from_secs(10));
            store.0.change_ban(check.item(0), change).unwrap();
            assert!(!store.decide_at_once(&check).unwrap().is_allowed(), "{micros}");
        }
    }
}

//! Checks of several quotas side by side: all or nothing, and never more than the limit.

use std::{
    cell::Cell,
    collections::BTreeSet,
    slice,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::*;
use crate::{
    Algorithm::{FixedWindow, Gcra, SlidingWindow},
    ManualClock,
    ban::{BanChange, BanRule},
    check::Subject,
    key::Key,
    policy::Policy,
    quota::{Quota, Quotas},
    store::memory::table::segment_of,
};

fn store(max_keys: usize) -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000));
    (MemoryStore::builder().max_keys(max_keys).clock(clock.clone()).build(), clock)
}

/// A policy with six quotas, by every algorithm.
fn six_quotas() -> Policy {
    let of = |(limit, seconds, algorithm)| {
        let quota = Quota::new(limit, Duration::from_secs(seconds)).unwrap();
        quota.with_algorithm(algorithm).unwrap()
    };
    let quotas = [(50, 3_600, Gcra), (20, 60, FixedWindow), (30, 60, SlidingWindow)];
    let more = [(9, 1, Gcra), (8, 2, SlidingWindow), (70, 86_400, FixedWindow)];
    let minute = Duration::from_secs(60);
    let rule = BanRule::after_strikes(99).within(minute).for_duration(minute);
    let policy = Policy::new("six", Quotas::new(quotas.into_iter().chain(more).map(of)).unwrap());
    policy.unwrap().with_ban(rule.unwrap().with_refusals(false))
}

fn per_day(name: &str, limits: &[u64]) -> Policy {
    let quota = |(at, limit): (usize, &u64)| {
        Quota::new(*limit, Duration::from_secs(86_400 * (at as u64 + 1))).unwrap()
    };
    Policy::new(name, Quotas::new(limits.iter().enumerate().map(quota)).unwrap()).unwrap()
}

fn subject(name: &str) -> Subject {
    Subject::new(Key::user(name))
}

fn decide(store: &MemoryStore, policies: &[Policy], subjects: &[Subject], cost: u64) -> Decision {
    store.decide_at_once(&Check::new(policies, subjects, cost)).unwrap()
}

fn used(decision: &Decision) -> Vec<u64> {
    decision.quotas().iter().map(|status| status.limit() - status.remaining()).collect()
}

/// The answers of the general path while others have the locks: admitted, refused, banned, and
/// by every algorithm.
#[test]
fn slots_that_are_there_are_checked_without_a_lock() {
    // A policy remembers the ids of one store.
    let [policies, others] = [(), ()].map(|()| [six_quotas(), per_day("more", &[40])]);
    for names in [["alice", "alice"], ["alice", "bob"]] {
        let subjects = names.map(subject);
        let ((fast, fast_clock), (general, general_clock)) = (store(1_000), store(1_000));
        let mut verdicts = BTreeSet::new();
        for step in 0..90 {
            let check = Check::new(&policies, &subjects, 1 + step % 2);
            let other = Check::new(&others, &subjects, check.cost());
            let expected = general.0.decide(&other).unwrap();
            let decision = if step == 0 {
                fast.decide_at_once(&check).unwrap()
            } else {
                let segments = subjects.iter().map(|subject| fast.0.location(&subject.key).bucket);
                let segments: BTreeSet<usize> = segments.map(segment_of).collect();
                let _locked: Vec<_> =
                    segments.iter().map(|number| fast.0.table.segment(*number).lock()).collect();
                let mut slots = fast.slots_check();
                assert!(slots.decide(&check).is_ok(), "step {step}");
                if slots.is_admitted() { slots.admission() } else { slots.refusal(check.cost()) }
            };
            assert_eq!(decision, expected, "step {step}");
            verdicts.insert(format!("{:?}", decision.verdict()));
            let stores = [(&fast, &fast_clock, check), (&general, &general_clock, other)];
            for (store, clock, check) in stores {
                clock.advance(Duration::from_millis(40 * step));
                if step == 80 {
                    let ban = BanChange::Ban(Duration::from_secs(30));
                    store.0.change_ban(check.item(0), ban).unwrap();
                }
            }
        }
        assert_eq!(verdicts.len(), 3, "{verdicts:?}");
    }
}

/// Sets of policies that have some in common, in either order, with checks of one quota and
/// such under locks between them: each unit that was admitted is charged once, to all quotas
/// of its set, and no quota admits more than its limit.
#[test]
fn sets_that_overlap_are_charged_whole_or_not_at_all() {
    const LIMIT: u64 = 32_000;
    let (store, _clock) = store(1_000);
    let [a, b, c] = [
        per_day("a", &[LIMIT, 3 * LIMIT]),
        per_day("b", &[LIMIT]),
        per_day("c", &[2 * LIMIT, LIMIT, LIMIT]),
    ];
    let [ab, ba, cb, ca] =
        [[&a, &b], [&b, &a], [&c, &b], [&c, &a]].map(|set| set.map(Policy::clone).to_vec());
    let sets = [ab, ba, cb, ca, vec![a.clone()], vec![b.clone()]];
    let admitted: Vec<AtomicU64> = sets.iter().map(|_| AtomicU64::new(0)).collect();
    let key = subject("alice");
    thread::scope(|scope| {
        for thread in 0..4 {
            let (store, sets, admitted, key) = (&store, &sets, &admitted, &key);
            scope.spawn(move || {
                for n in 0..24_000 {
                    let set = (n * 7 + thread * 3) % sets.len();
                    let subjects = vec![key.clone(); sets[set].len()];
                    let check = Check::new(&sets[set], &subjects, 1);
                    let decision = match n % 16 {
                        0 => store.0.decide(&check),
                        _ => store.decide_at_once(&check),
                    };
                    admitted[set].fetch_add(decision.unwrap().is_allowed().into(), Relaxed);
                }
            });
        }
    });
    let admitted: Vec<u64> = admitted.into_iter().map(AtomicU64::into_inner).collect();
    let [ab, ba, cb, ca, only_a, only_b] = admitted[..] else { panic!("{admitted:?}") };
    let of =
        |policy: &Policy| used(&decide(&store, slice::from_ref(policy), slice::from_ref(&key), 0));
    let (in_a, in_b, in_c) = (ab + ba + ca + only_a, ab + ba + cb + only_b, cb + ca);
    assert_eq!((of(&a), of(&b), of(&c)), (vec![in_a; 2], vec![in_b], vec![in_c; 3]));
    assert!(in_a == LIMIT && in_b == LIMIT && in_c <= LIMIT, "{admitted:?}");
}

/// Until all slots are charged, nobody reads one that is; and if one has changed since it was
/// read, all are as they were.
#[test]
fn slots_are_held_until_all_are_charged() {
    let (store, _clock) = store(1_000);
    let policies = [per_day("one", &[10]), per_day("other", &[10])];
    let subjects = [subject("alice"), subject("alice")];
    assert!(decide(&store, &policies, &subjects, 1).is_allowed());
    let check = Check::new(&policies, &subjects, 1);
    let read = || {
        let mut slots = store.slots_check();
        assert!(slots.read_slots(&check).is_ok());
        slots.now = store.0.clock.now();
        assert!(slots.check_words(&check).is_ok());
        slots
    };
    let (slots, declined) = (read(), Cell::new(0));
    let charges = slots.counters.iter().map(|counted| {
        let mut look = store.slots_check();
        match look.decide(&Check::new(&policies[..1], &subjects[..1], 0)) {
            Ok(()) => assert_eq!(used(&look.admission()), [1]),
            Err(Declined) => declined.set(declined.get() + 1),
        }
        counted.slot
    });
    assert!(write_charges(charges));
    assert!(declined.get() > 0);
    assert_eq!(used(&decide(&store, &policies, &subjects, 0)), [2, 2]);

    let slots = read();
    assert!(decide(&store, &policies[1..], &subjects[1..], 1).is_allowed());
    assert!(!write_charges(slots.counters.iter().map(|counted| counted.slot)));
    assert_eq!(used(&decide(&store, &policies, &subjects, 0)), [2, 3]);
}

/// Whoever looks finds both quotas charged alike: no charge of a check that is refused then,
/// or that is on its way.
#[test]
fn nobody_meets_a_part_of_a_charge() {
    let (store, _clock) = store(1_000);
    let (one, other) = (per_day("one", &[90_000]), per_day("other", &[40_000]));
    let (forth, back) = ([one.clone(), other.clone()], [other.clone(), one.clone()]);
    let subjects = [subject("alice"), subject("alice")];
    assert!(decide(&store, &forth, &subjects, 1).is_allowed());
    thread::scope(|scope| {
        let (store, subjects, forth) = (&store, &subjects, &forth);
        for set in [forth, &back] {
            scope.spawn(move || (0..80_000).for_each(|_| drop(decide(store, set, subjects, 1))));
        }
        scope.spawn(move || {
            for _ in 0..80_000 {
                let used = used(&decide(store, forth, subjects, 0));
                assert_eq!(used[0], used[1]);
            }
        });
    });
    assert_eq!(used(&decide(&store, &[one], &subjects[..1], 0)), [40_000]);
    assert_eq!(used(&decide(&store, &[other], &subjects[..1], 0)), [40_000]);
}

/// Beside newcomers that displace the very keys that are checked, nobody gets more than the
/// limit of any quota.
#[test]
fn charges_that_race_displacements_are_never_lost() {
    const LIMIT: u64 = 2_000;
    // One bucket, so that every newcomer displaces somebody.
    let (store, _clock) = store(16);
    let policies = [per_day("one", &[LIMIT, 2 * LIMIT]), per_day("other", &[3 * LIMIT])];
    let keys: Vec<[Subject; 2]> =
        ["a", "b", "c"].map(|name| [subject(name), subject(name)]).to_vec();
    let admitted: Vec<AtomicU64> = keys.iter().map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for thread in 0..4 {
            let (store, policies, keys, admitted) = (&store, &policies, &keys, &admitted);
            scope.spawn(move || {
                for n in 0..4_000 {
                    let hot = n % keys.len();
                    let is_allowed = decide(store, policies, &keys[hot], 1).is_allowed();
                    admitted[hot].fetch_add(is_allowed.into(), Relaxed);
                    if n % 8 == 0 {
                        let newcomer = subject(&format!("{thread}-{n}"));
                        drop(decide(store, policies, &[newcomer.clone(), newcomer], 1));
                    }
                }
            });
        }
    });
    let admitted: Vec<u64> = admitted.into_iter().map(AtomicU64::into_inner).collect();
    assert!(admitted.iter().all(|admitted| *admitted <= LIMIT), "{admitted:?}");
    assert!(admitted.iter().all(|admitted| *admitted > LIMIT / 2), "{admitted:?}");
}

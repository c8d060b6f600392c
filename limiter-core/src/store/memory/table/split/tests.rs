//! Tables that grow: nothing is lost, nothing is admitted twice, and nothing grows for keys that
//! are gone.

use std::{
    slice,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::*;
use crate::{
    Algorithm, ManualClock, Timestamp,
    ban::{BanChange, BanRule},
    check::{Check, Subject},
    decision::Decision,
    key::Key,
    policy::Policy,
    quota::{Quota, Quotas},
    store::{MemoryStore, memory::interrupted_clock::InterruptedClock},
};

/// Slots of a chunk.
const OF_CHUNK: usize = CHUNK * SLOTS;

const ROOM: usize = 100 * OF_CHUNK;

const DAY: Duration = Duration::from_secs(86_400);

fn chunks(store: &MemoryStore) -> usize {
    store.0.table.chunks.iter().filter(|chunk| chunk.get().is_some()).count()
}

fn subject(n: usize) -> Subject {
    Subject::new(Key::custom("n", &n.to_string()))
}

fn decide(store: &MemoryStore, policy: &Policy, n: usize, cost: u64) -> Decision {
    let subject = subject(n);
    let check = Check::new(slice::from_ref(policy), slice::from_ref(&subject), cost);
    store.decide_at_once(&check).unwrap()
}

/// A policy of such quotas, that bans by hand.
fn policy(limit: u64, algorithms: &[Algorithm]) -> Policy {
    let quota = |(at, algorithm): (usize, &Algorithm)| {
        let quota = Quota::new(limit, DAY * (1 + at as u32)).unwrap();
        quota.with_algorithm(*algorithm).unwrap()
    };
    let quotas = Quotas::new(algorithms.iter().enumerate().map(quota)).unwrap();
    let rule = BanRule::after_strikes(99).within(DAY).for_duration(DAY).unwrap();
    Policy::new("api", quotas).unwrap().with_ban(rule.with_refusals(false))
}

fn every_kind() -> [Policy; 5] {
    use Algorithm::{FixedWindow, Gcra, SlidingWindow, StrictWindow};
    let kinds: [&[Algorithm]; 5] =
        [&[Gcra], &[FixedWindow], &[StrictWindow], &[Gcra, SlidingWindow], &[Gcra, StrictWindow]];
    kinds.map(|algorithms| policy(20, algorithms))
}

fn ban(store: &MemoryStore, policy: &Policy, n: usize) {
    let subject = subject(n);
    let check = Check::new(slice::from_ref(policy), slice::from_ref(&subject), 1);
    store.0.change_ban(check.item(0), BanChange::Ban(DAY)).unwrap();
}

/// Keys of every kind, with usage and bans, find the same behind each split as before. While the
/// table can grow, none is displaced.
#[test]
fn a_table_grows_with_its_keys_and_keeps_what_they_have() {
    for policy in every_kind() {
        let counters = policy.quotas().len();
        let keys = 30_000 / counters;
        let store = MemoryStore::builder().max_keys(ROOM).build();
        for n in 0..keys {
            assert!(decide(&store, &policy, n, 1 + n as u64 % 7).is_allowed());
            if n % 16 == 0 {
                ban(&store, &policy, n);
            }
            assert!(n > 100 || chunks(&store) <= 4, "{} chunks for {n} keys", chunks(&store));
        }
        eprintln!("CHUNKS {} {}", counters, chunks(&store));
        for n in 0..keys {
            let decision = decide(&store, &policy, n, 0);
            assert_eq!(decision.is_allowed(), n % 16 > 0, "{n}");
            for status in decision.quotas() {
                assert_eq!(status.remaining(), 20 - (1 + n as u64 % 7), "{n}");
            }
        }
        let bans = keys.div_ceil(16);
        assert!((keys * counters..=keys * counters + bans).contains(&store.len()));
    }
}

/// Threads that check the same keys while others make the table grow: of each, as many are
/// admitted as its limit, and none of those that are banned.
#[test]
fn checks_beside_a_split_are_exact() {
    const HOT: usize = 300;
    for policy in every_kind() {
        let store = MemoryStore::builder().max_keys(ROOM).build();
        let admitted: Vec<AtomicU64> = (0..HOT).map(|_| AtomicU64::new(0)).collect();
        for n in (0..HOT).step_by(5) {
            ban(&store, &policy, n);
        }
        thread::scope(|scope| {
            for thread in 0..4 {
                let (store, policy, admitted) = (&store, &policy, &admitted);
                scope.spawn(move || {
                    for n in 0..9_000 {
                        let hot = (n * 7 + thread) % HOT;
                        let is_allowed = decide(store, policy, hot, 1).is_allowed();
                        admitted[hot].fetch_add(is_allowed.into(), Relaxed);
                        decide(store, policy, 1_000 + 4 * n + thread, 1);
                    }
                });
            }
        });
        assert!(chunks(&store) > 5, "{}", chunks(&store));
        for (n, admitted) in admitted.iter().enumerate() {
            let most = if n % 5 == 0 { 0 } else { 20 };
            assert_eq!(admitted.load(Relaxed), most, "{n}");
        }
        let left = |n: usize| decide(&store, &policy, 1_000 + n, 0).quotas()[0].remaining();
        let exact = (0..36_000).filter(|n| left(*n) == 19).count();
        // A key may be displaced by four that come before its chunk is split.
        assert!((35_990..=36_000).contains(&exact), "{exact}");
        assert!((0..36_000).all(|n| left(n) <= 19));
    }
}

/// A check that has read its slots without a lock and not yet charged them, while they move.
#[test]
fn a_slot_that_moves_is_charged_at_its_new_place() {
    let clock = InterruptedClock::default();
    let has_words = |policy: &Policy| {
        policy.quotas().iter().all(|quota| quota.algorithm() != Algorithm::StrictWindow)
    };
    for policy in every_kind().into_iter().filter(has_words) {
        let mut moved = 0;
        for n in 0..40 {
            let store = MemoryStore::builder().max_keys(2 * OF_CHUNK).clock(clock.clone()).build();
            assert!(decide(&store, &policy, n, 2).is_allowed());
            let other = store.clone();
            clock.interrupt_next(move || other.0.table.split(&(0..2)));
            assert_eq!(decide(&store, &policy, n, 3).quotas()[0].remaining(), 15);
            assert_eq!(decide(&store, &policy, n, 0).quotas()[0].remaining(), 15);
            assert_eq!((chunks(&store), store.len()), (2, policy.quotas().len()));
            let upper = store.0.table.needed_buckets().skip(CHUNK * SLOTS / WAYS);
            let slots = upper.flat_map(|bucket| store.0.table.bucket(bucket).all_slots());
            moved += usize::from(slots.filter(|slot| !slot.tag().is_free()).count() > 0);
        }
        assert!((5..35).contains(&moved), "{moved}");
    }
}

/// Keys that came once, and whose usage has expired a minute ago, make room for others.
#[test]
fn a_table_does_not_grow_for_keys_that_are_gone() {
    let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000));
    let policy = Policy::new("api", Quota::per_second(10).unwrap()).unwrap();
    let store = MemoryStore::builder().max_keys(ROOM).clock(clock.clone()).build();
    for n in 0..300_000 {
        assert!(decide(&store, &policy, n, 1).is_allowed());
        clock.advance(Duration::from_millis(100));
        // One that comes every half a minute keeps its slot, and what it has used.
        if n % 300 == 0 {
            assert!(decide(&store, &policy, 1_000_000 + n % 900, 1).is_allowed());
        }
    }
    // 600 a minute: now and then a dozen of them are in one bucket.
    assert!(chunks(&store) <= 4, "{}", chunks(&store));
}

/// Without a pause between them, they do.
#[test]
fn a_table_grows_for_keys_of_the_last_minute() {
    let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000));
    let policy = Policy::new("api", Quota::per_second(10).unwrap()).unwrap();
    let store = MemoryStore::builder().max_keys(ROOM).clock(clock.clone()).build();
    for n in 0..30_000 {
        assert!(decide(&store, &policy, n, 1).is_allowed());
        clock.advance(Duration::from_millis(1));
    }
    assert_eq!(store.len(), 30_000);
    assert!(chunks(&store) > 8, "{}", chunks(&store));
}

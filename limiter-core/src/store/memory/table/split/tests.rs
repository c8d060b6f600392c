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
    check::{Check, Item, Subject},
    decision::Decision,
    key::Key,
    policy::Policy,
    quota::{Quota, Quotas},
    store::{MemoryStore, memory::interrupted_clock::InterruptedClock},
    time::Clock,
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

fn has_slot(store: &MemoryStore, policy: &Policy, n: usize) -> bool {
    let item = Item { policy, subject: &subject(n) };
    store.0.find_slot(item, &policy.counters().quotas[0]).is_ok()
}

fn left(store: &MemoryStore, policy: &Policy, n: usize) -> u64 {
    decide(store, policy, n, 0).quotas()[0].remaining()
}

/// Each slot has a key of a chunk that its own hosts, and each chunk is hosted by one that is there.
fn check_invariants(store: &MemoryStore) {
    let table = &store.0.table;
    let mut next = 0;
    while next < table.chunks.len() {
        let hosted = table.hosted_by(next);
        assert!(!hosted.is_empty() && table.chunks[next].get().is_some(), "{next} {hosted:?}");
        for segment in table.chunk(next) {
            let state = segment.lock();
            let slots = (0..SLOTS).filter(|at| !segment.slot(*at).tag().is_free());
            for at in slots {
                let chunk = state.chunk_of.as_ref().map_or(next, |chunks| chunks[at].into());
                assert!(hosted.contains(&chunk), "{chunk} {hosted:?}");
                let tag = segment.slot(at).tag();
                assert!(segment.find_same(at / WAYS, tag).is_some(), "{tag:?}");
            }
        }
        next = hosted.end;
    }
}

/// Keys of every kind, with usage and bans, find the same behind each split as before. While the
/// table can grow, none is displaced.
#[test]
fn a_table_grows_with_its_keys_and_keeps_what_they_have() {
    for policy in every_kind() {
        let counters = policy.quotas().len();
        let keys = 30_000 / counters;
        // With a quarter of that, three runs of a thousand had a bucket of more than sixteen slots
        // in a chunk that had been split as far as it goes.
        let store = MemoryStore::builder().max_keys(4 * ROOM).build();
        for n in 0..keys {
            assert!(decide(&store, &policy, n, 1 + n as u64 % 7).is_allowed());
            if n % 16 == 0 {
                ban(&store, &policy, n);
            }
            assert!(n > 100 || chunks(&store) <= 4, "{} chunks for {n} keys", chunks(&store));
        }
        let most = if counters == 1 { 60 } else { 90 };
        assert!((6..=most).contains(&chunks(&store)), "{}", chunks(&store));
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
                        drop(decide(store, policy, 1_000 + 4 * n + thread, 1));
                    }
                });
            }
        });
        assert!(chunks(&store) > 5, "{}", chunks(&store));
        for (n, admitted) in admitted.iter().enumerate() {
            let most = if n % 5 == 0 { 0 } else { 20 };
            assert_eq!(admitted.load(Relaxed), most, "{n}");
        }
        let newcomers = 1_000..37_000;
        let exact = newcomers.clone().filter(|n| left(&store, &policy, *n) == 19).count();
        // A key may be displaced by four that come before its chunk is split.
        assert!((35_990..=36_000).contains(&exact), "{exact}");
        assert!(newcomers.clone().all(|n| left(&store, &policy, n) <= 19));
        check_invariants(&store);
    }
}

/// Whoever has a lock of the new chunk sees the whole directory: a split by a part of it would
/// leave keys behind.
#[test]
fn a_directory_is_whole_to_whoever_has_a_lock() {
    let table = Table::new(8 * OF_CHUNK);
    assert!(table.chunks[4].set(new_chunk()).is_ok());
    let hosts = || -> Vec<usize> { (0..8).map(|chunk| table.host_of(chunk)).collect() };
    let locked = table.chunk(4)[CHUNK - 1].lock();
    thread::scope(|scope| {
        scope.spawn(|| table.publish(4..8));
        thread::sleep(Duration::from_millis(50));
        assert_eq!(hosts(), [0; 8]);
        drop(locked);
    });
    assert_eq!(hosts(), [0, 0, 0, 0, 4, 4, 4, 4]);
}

/// Keys of six counters among those of one: each of them needs room in one bucket.
#[test]
fn keys_of_many_counters_are_not_displaced_while_a_table_can_grow() {
    let policies = [policy(20, &[Algorithm::Gcra]), policy(20, &[Algorithm::Gcra; 6])];
    let store = MemoryStore::builder().max_keys(4_000_000).build();
    for n in 0..4_000 {
        assert!(decide(&store, &policies[usize::from(n % 8 == 0)], n, 2).is_allowed());
    }
    for n in 0..4_000 {
        let decision = decide(&store, &policies[usize::from(n % 8 == 0)], n, 0);
        assert!(decision.quotas().iter().all(|status| status.remaining() == 18), "{n}");
    }
    check_invariants(&store);
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
        // One that comes every half a minute keeps its slot.
        if n % 300 == 0 {
            assert!(n == 0 || has_slot(&store, &policy, 1_000_000), "{n}");
            assert!(decide(&store, &policy, 1_000_000, 1).is_allowed());
        }
    }
    // 600 a minute: now and then a dozen of them are in one bucket.
    assert!(chunks(&store) <= 4, "{}", chunks(&store));
}

/// A clock that steps back finds what was used then, though others have come since and the windows
/// had ended.
#[test]
fn a_clock_that_steps_back_finds_what_was_used() {
    use Algorithm::{FixedWindow, Gcra, SlidingWindow, StrictWindow};
    for algorithm in [Gcra, FixedWindow, SlidingWindow, StrictWindow] {
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000));
        let quota = Quota::per_minute(10_000).unwrap().with_algorithm(algorithm).unwrap();
        let policy = Policy::new("api", quota).unwrap();
        let store = MemoryStore::builder().max_keys(ROOM).clock(clock.clone()).build();
        // At two instants, so that a strict window is no word.
        for seconds in [10, 40] {
            (0..100).for_each(|n| assert!(decide(&store, &policy, n, 5_000).is_allowed()));
            clock.advance(Duration::from_secs(seconds));
        }
        let then = clock.now();
        let used: Vec<u64> = (0..100).map(|n| left(&store, &policy, n)).collect();
        clock.advance(Duration::from_secs(if algorithm == SlidingWindow { 75 } else { 30 }));
        (100..6_000).for_each(|n| assert!(decide(&store, &policy, n, 1).is_allowed()));
        clock.set(then);
        let found: Vec<u64> = (0..100).map(|n| left(&store, &policy, n)).collect();
        assert_eq!(used, found, "{algorithm:?}");
    }
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

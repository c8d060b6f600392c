//! Bans that come and go in a store which newcomers keep full, and which is cleared beside.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use limiter_core::{Algorithm, BanChange, Decision, Item, MemoryStore, Policy, Store, Verdict};

use super::{address, ask, banning};
use crate::storm::Form;

/// Threads of each kind.
const THREADS: u32 = 5;

/// Asks a store in this process, which answers at once.
fn decide(store: &MemoryStore, policy: &Policy, client: u32) -> Decision {
    ask(store, policy, &address(client)).now_or_never().expect("memory makes nobody wait")
}

fn change(store: &MemoryStore, policy: &Policy, client: u32, change: BanChange) {
    let item = Item { policy, subject: &address(client) };
    let changed = store.change_ban(item, change).now_or_never();
    changed.expect("memory makes nobody wait").unwrap();
}

/// Bans, asks and lifts, of clients that nobody else changes. Returns how often a ban held.
fn ban_and_lift(store: &MemoryStore, policy: &Policy, clients: Range<u32>, round: u32) -> u64 {
    let mut held = 0;
    for client in clients.clone() {
        change(store, policy, client, BanChange::Ban(Duration::from_secs(3_600)));
        held += u64::from(decide(store, policy, client).verdict() == Verdict::Banned);
    }
    for client in clients.clone() {
        held += u64::from(decide(store, policy, client).verdict() == Verdict::Banned);
    }
    for client in clients {
        let lifting =
            if (client + round).is_multiple_of(2) { BanChange::Lift } else { BanChange::Forgive };
        change(store, policy, client, lifting);
        assert_ne!(decide(store, policy, client).verdict(), Verdict::Banned, "{client} {round}");
    }
    held
}

/// Clients of each thread that bans.
const CLIENTS: u32 = 40;

fn policy(algorithm: Algorithm) -> Policy {
    banning("stormed", "1000000/minute", algorithm)
}

/// Returns how often a client was asked for that had been banned, and how often its ban held.
fn storm(store: &MemoryStore, algorithm: Algorithm, clears: bool) -> (u64, u64) {
    let policy = policy(algorithm);
    let newcomers = AtomicU32::new(1 << 24);
    let is_long = Form::from_environment() == Form::Long;
    let end = Instant::now() + Duration::from_millis(if is_long { 10_000 } else { 300 });
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while Instant::now() < end {
                    let newcomer = newcomers.fetch_add(1, Ordering::Relaxed);
                    let decision = decide(store, &policy, newcomer);
                    assert_ne!(decision.verdict(), Verdict::Banned, "{newcomer}");
                }
            });
        }
        let banning = (0..THREADS).map(|thread| {
            let policy = &policy;
            let own = thread * CLIENTS..(thread + 1) * CLIENTS;
            scope.spawn(move || {
                let (mut asked, mut held) = (0, 0);
                for round in 0.. {
                    if Instant::now() > end {
                        break;
                    }
                    asked += 2 * u64::from(CLIENTS);
                    held += ban_and_lift(store, policy, own.clone(), round);
                }
                (asked, held)
            })
        });
        let banning: Vec<_> = banning.collect();
        while clears && Instant::now() < end {
            store.clear();
        }
        let counts: Vec<(u64, u64)> =
            banning.into_iter().map(|thread| thread.join().unwrap()).collect();
        counts.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    })
}

#[test]
fn bans_hold_and_end_at_once_whoever_else_comes() {
    for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
        // Of the smallest, more keys are banned than it has slots for.
        for max_keys in [100, 2_000, 100_000] {
            let store = MemoryStore::builder().max_keys(max_keys).build();
            let (asked, held) = storm(&store, algorithm, false);
            assert!(asked > 1_000, "{asked}");
            assert_eq!(held, asked, "{max_keys} {algorithm:?}");
        }
    }
}

#[test]
fn bans_end_and_nothing_is_left_though_the_store_is_cleared_meanwhile() {
    for max_keys in [100, 2_000] {
        let store = MemoryStore::builder().max_keys(max_keys).build();
        let (asked, held) = storm(&store, Algorithm::Gcra, true);
        assert!(asked > 1_000 && held < asked, "{asked} {held}");
        let policy = policy(Algorithm::Gcra);
        change(&store, &policy, 0, BanChange::Ban(Duration::from_secs(3_600)));
        assert_eq!(decide(&store, &policy, 0).verdict(), Verdict::Banned);
        store.clear();
        assert!(store.is_empty(), "{} are left", store.len());
        for client in 0..THREADS * CLIENTS {
            assert!(decide(&store, &policy, client).is_allowed(), "{client}");
        }
    }
}

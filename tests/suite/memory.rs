//! The bound of the memory store, and that nobody escapes through it.

mod ban_storm;
mod clear;
mod eviction;
mod policies;

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use limiter_core::{
    Algorithm, Answer, BanChange, BanRule, Check, Clock, Decision, Item, Key, MemoryStore, Policy,
    Quota, Quotas, Store, Subject, Verdict,
    settlement::{Settled, SettledItem},
};

use crate::conformance::clock;

fn address(n: u32) -> Subject {
    Subject::new(Key::ip(Ipv4Addr::from_bits(n).into()))
}

async fn ask(store: &dyn Store, policy: &Policy, subject: &Subject) -> Decision {
    let (policies, subjects) = (std::slice::from_ref(policy), std::slice::from_ref(subject));
    store.decide(Check::new(policies, subjects, 1)).await.unwrap()
}

/// Strikes subjects for a 404, and returns what came of it.
async fn strike(store: &dyn Store, policies: &[Policy], subjects: &[Subject]) -> Vec<Settled> {
    let offenders = Check::new(policies, subjects, 1).offenders(404);
    store.settle(offenders.into_iter().map(SettledItem::struck).collect()).await.unwrap()
}

fn banning(name: &str, quotas: &str, algorithm: Algorithm) -> Policy {
    let minute = Duration::from_secs(60);
    let quotas = quotas.parse::<Quotas>().unwrap().with_algorithm(algorithm).unwrap();
    let rule = BanRule::after_strikes(5).within(minute).for_duration(60 * minute).unwrap();
    Policy::new(name, quotas).unwrap().with_ban(rule)
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux tells of a process");
    let pages = status.split_whitespace().nth(1).expect("the second number is resident pages");
    pages.parse::<u64>().expect("it is a number") * 4096
}

/// A flood of one-request clients through a store of so many keys; returns the
/// bytes by which this process grew.
async fn flood(algorithm: Algorithm, max_keys: usize, clients: u32) -> u64 {
    let before = resident();
    let store = MemoryStore::builder().max_keys(max_keys).max_bans(1_000).build();
    // Long enough that no unit comes back while this runs.
    let policy = banning("flooded", "20/day", algorithm);
    let (limited, banned, by_hand) = (address(1), address(2), address(3));
    for client in [&limited, &banned] {
        for _ in 0..20 {
            assert!(ask(&store, &policy, client).await.is_allowed());
        }
    }
    assert_eq!(ask(&store, &policy, &limited).await.verdict(), Verdict::Limited);
    for _ in 0..5 {
        let _ = ask(&store, &policy, &banned).await;
    }
    let item = Item { policy: &policy, subject: &by_hand };
    store.change_ban(item, BanChange::Ban(Duration::from_secs(3_600))).await.unwrap();

    let mut admitted = 0;
    for n in 0..clients {
        admitted += u32::from(ask(&store, &policy, &address(1 << 24 | n)).await.is_allowed());
    }
    assert!(store.len() <= max_keys, "{}", store.len());
    // Some start poorer, since others have taken their cells; nearly all are
    // served.
    assert!(admitted >= clients / 1_000 * 999, "{algorithm:?}: {admitted} of {clients}");
    assert_eq!(ask(&store, &policy, &limited).await.verdict(), Verdict::Limited);
    assert_eq!(ask(&store, &policy, &banned).await.verdict(), Verdict::Banned);
    assert_eq!(ask(&store, &policy, &by_hand).await.verdict(), Verdict::Banned);
    resident().saturating_sub(before)
}

#[tokio::test]
async fn ten_million_clients_stay_within_the_cap() {
    // Other tests of this process grow meanwhile, but by nothing like ten
    // million keys, which would take more than a GiB.
    let grown = flood(Algorithm::Gcra, 1_000_000, 10_000_000).await;
    println!("grown by {} MiB for 1,000,000 keys", grown >> 20);
    assert!(grown < 320 << 20, "{grown} bytes for 1,000,000 keys");
    flood(Algorithm::FixedWindow, 100_000, 250_000).await;
    flood(Algorithm::SlidingWindow, 100_000, 250_000).await;
}

/// Returns the share of a limit that honest newcomers get, in percent, while so many times as many
/// keys are live as fit: `load` new keys of one request each are spread over a
/// window, and 200 honest clients come in the third such window and ask for all
/// of their limit at once.
async fn share_of_newcomers(quota: &str, algorithm: Algorithm, load: u64) -> u64 {
    const KEYS: u64 = 1_024;
    let clock = clock();
    let store = MemoryStore::builder().max_keys(1_024).clock(clock.clone()).build();
    let quota: Quota = quota.parse().unwrap();
    let policy = Policy::new("flooded", quota.with_algorithm(algorithm).unwrap()).unwrap();
    let live = load * KEYS;
    let step =
        Duration::from_nanos(u64::try_from(quota.window().as_nanos()).unwrap().div_ceil(live));
    let (start, mut passed) = (clock.now(), Duration::ZERO);
    let mut admitted = 0;
    for n in 0..3 * live {
        passed += step;
        clock.set(start.after(passed));
        let _ = ask(&store, &policy, &address(u32::try_from(n).unwrap())).await;
        let honest = (n >= 2 * live).then(|| (n - 2 * live) * 200 / live);
        if let Some(honest) =
            honest.filter(|honest| (n - 2 * live) == (honest * live).div_ceil(200))
        {
            for _ in 0..quota.limit() {
                let honest = address(1 << 30 | u32::try_from(honest).unwrap());
                admitted += u64::from(ask(&store, &policy, &honest).await.is_allowed());
            }
        }
    }
    admitted * 100 / (200 * quota.limit())
}

/// The table of [`MemoryStore`]'s docs, a few points lower.
#[tokio::test]
async fn honest_newcomers_keep_their_share_of_a_full_store() {
    let (gcra, sliding) = (Algorithm::Gcra, Algorithm::SlidingWindow);
    let table = [
        ("3/day", gcra, [98, 97, 90]),
        ("1/minute", gcra, [97, 92, 60]),
        ("5/minute", gcra, [98, 97, 94]),
        ("20/hour", gcra, [98, 98, 95]),
        ("100/second", gcra, [98, 98, 95]),
        ("3/day", Algorithm::FixedWindow, [97, 94, 76]),
        ("20/hour", Algorithm::FixedWindow, [97, 95, 80]),
        ("3/day", sliding, [96, 91, 50]),
        ("20/hour", sliding, [96, 94, 78]),
    ];
    for (quota, algorithm, least) in table {
        let mut shares = [0; 3];
        for (share, load) in shares.iter_mut().zip([1, 2, 10]) {
            *share = share_of_newcomers(quota, algorithm, load).await;
        }
        println!("{quota} by {algorithm:?}: {shares:?} %");
        for (share, least) in shares.into_iter().zip(least) {
            assert!(share >= least, "{quota} by {algorithm:?}: {share} % of {least} %");
        }
    }
}

/// Checks that take no lock, beside newcomers that displace the very keys that
/// these check: nobody gets more than the limit.
#[test]
fn a_charge_that_races_a_displacement_is_never_lost() {
    const LIMIT: u64 = 20_000;
    // One bucket, so that every newcomer displaces somebody.
    let store = MemoryStore::builder().max_keys(16).build();
    let policy = [Policy::new("raced", Quota::per_day(LIMIT).unwrap()).unwrap()];
    let admits = |subject: &Subject| {
        let check = Check::new(&policy, std::slice::from_ref(subject), 1);
        let Answer::Ready(Some(decision)) = store.decide(check) else { panic!("it is at hand") };
        decision.unwrap().is_allowed()
    };
    let start = Instant::now();
    let admitted: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (admits, admitted) = (&admits, &admitted);
            scope.spawn(move || {
                for n in 0..60_000 {
                    let hot = (n % 4) as usize;
                    if admits(&address(u32::try_from(hot).unwrap())) {
                        admitted[hot].fetch_add(1, Ordering::Relaxed);
                    }
                    if n % 8 == 0 {
                        admits(&address(1 << 24 | thread << 20 | n));
                    }
                }
            });
        }
    });
    let drained = u64::try_from(start.elapsed().as_millis()).unwrap() * LIMIT / 86_400_000 + 1;
    let admitted: Vec<u64> = admitted.into_iter().map(AtomicU64::into_inner).collect();
    println!("admitted {admitted:?} of {LIMIT}");
    assert!(admitted.iter().all(|admitted| *admitted <= LIMIT + drained), "{admitted:?}");
}

#[tokio::test]
async fn a_flood_of_strikes_displaces_no_ban() {
    let minute = Duration::from_secs(60);
    let rule = BanRule::after_strikes(2)
        .within(minute)
        .for_duration(minute)
        .unwrap()
        .with_statuses([404])
        .unwrap();
    let policy = [Policy::new("scan", Quota::per_second(9).unwrap()).unwrap().with_ban(rule)];
    let store = MemoryStore::builder().max_keys(1_000).max_bans(10).build();
    let banned = [address(1)];
    for _ in 0..2 {
        strike(&store, &policy, &banned).await;
    }
    for n in 100..50_000 {
        strike(&store, &policy, &[address(n)]).await;
    }
    assert_eq!(ask(&store, &policy[0], &banned[0]).await.verdict(), Verdict::Banned);
    assert!(store.len() <= 1_000);
}

/// Limits that are changed all the time, by an application that adapts them, say:
/// what was counted by those of before goes, and the store does not fill up.
#[tokio::test]
async fn quotas_may_change_for_ever() {
    let clock = clock();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    for limit in 1..=150_000 {
        let quota = Quota::new(limit, Duration::from_secs(1)).unwrap();
        let policy = Policy::new("adapting", quota).unwrap();
        let client = address(u32::try_from(limit).unwrap());
        assert!(ask(&store, &policy, &client).await.is_allowed());
        clock.advance(Duration::from_millis(1));
    }
}

/// However many quotas one policy is asked by at once, each is exact.
#[tokio::test]
async fn quotas_of_a_policy_may_be_without_number() {
    let store = MemoryStore::builder().build();
    let asks = async |client: u32, limit| {
        let quota = Quota::per_hour(limit).unwrap().with_algorithm(Algorithm::FixedWindow);
        let policy = Policy::new("api", quota.unwrap()).unwrap();
        ask(&store, &policy, &address(client)).await.is_allowed()
    };
    for limit in 1..=65_600 {
        assert!(asks(u32::try_from(limit).unwrap(), limit).await, "{limit}");
    }
    // The first and the last, which shares an id: of a limit of 2, one was used.
    for client in [1, 65_600] {
        assert_eq!((asks(client, 2).await, asks(client, 2).await), (true, false), "{client}");
    }
}

/// But so many policies at once are more than it can tell apart.
#[tokio::test]
async fn too_many_policies_at_once_are_an_error() {
    let store = MemoryStore::builder().build();
    let policy = |number| Policy::new(&format!("p{number}"), Quota::per_hour(9).unwrap()).unwrap();
    let mut admitted = 0;
    for number in 1..=65_600 {
        let (policies, subjects) = ([policy(number)], [address(number)]);
        match store.decide(Check::new(&policies, &subjects, 1)).await {
            Ok(decision) => admitted += u32::from(decision.is_allowed()),
            Err(error) => {
                assert!(error.to_string().contains("65535 different quotas"), "{error}");
                assert!(error.is_not_applied());
            }
        }
    }
    assert_eq!(admitted, 65_535);
    // Those that are known go on.
    assert!(ask(&store, &policy(9), &address(1)).await.is_allowed());
}

/// Strikes are not remembered: a newcomer to a full store is not banned
/// for the failures of those it displaces.
#[tokio::test]
async fn newcomers_find_no_strikes() {
    let minute = Duration::from_secs(60);
    let rule = BanRule::after_strikes(3)
        .within(minute)
        .for_duration(minute)
        .unwrap()
        .with_statuses([404])
        .unwrap();
    let policy = [Policy::new("scan", Quota::per_second(9).unwrap()).unwrap().with_ban(rule)];
    let store = MemoryStore::builder().max_keys(2).build();
    for n in 0..1_000 {
        let client = [address(n)];
        for _ in 0..2 {
            let banned = strike(&store, &policy, &client).await;
            assert!(banned.iter().all(|settled| settled.new_ban.is_none()));
        }
    }
}

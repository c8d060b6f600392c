//! The hard cases: one hot key, newcomers to a full store, banned keys, several
//! quotas, other algorithms. `tests/benchmarks` measures them as well.

use std::{net::IpAddr, num::NonZeroU32, slice::from_ref, time::Duration};

use limiter_core::{Algorithm, Key, PolicySet, Quota, Quotas, Subjects};

use crate::work::{
    Governor, LIMIT, address, check_address, decide_address, in_order, order, policy, rule, time,
};

/// Units a second: so many that not even a single key is refused.
const UNLIMITED: u32 = 1_000_000_000;

/// Something hard, and what it is measured beside.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The limiter that it is measured beside.
    pub(crate) peer: &'static str,
    /// The most that ours may take of the peer's time, in hundredths.
    #[allow(dead_code, reason = "the report measures by it, the benchmark does not")]
    pub(crate) target: Option<u32>,
    /// Makes what is measured, for rounds of so many checks a thread.
    pub(crate) begin: fn(usize) -> Contenders,
}

/// Each measures a round and returns picoseconds a check.
pub(crate) struct Contenders {
    pub(crate) theirs: Box<dyn FnMut() -> u128>,
    pub(crate) ours: Box<dyn FnMut() -> u128>,
}

const fn case(
    name: &'static str,
    peer: &'static str,
    target: Option<u32>,
    begin: fn(usize) -> Contenders,
) -> Case {
    Case { name, peer, target, begin }
}

pub(crate) const CASES: [Case; 9] = [
    case("a hot key, 2 threads, admitted", "governor", Some(50), hot_admitted),
    case("a hot key, 2 threads, refused", "governor", Some(20), hot_refused),
    case("newcomers on a full store", "governor, which grows", Some(35), newcomers),
    case("half of 10 k keys banned", "none banned", Some(120), banned),
    case("4 quotas, 1 k keys", "governor's one", Some(100), four_quotas),
    case("16 clients at once, 1 M keys, Zipf", "governor", Some(35), at_once),
    case("`fixed_window`, 1 k keys", "`gcra`", Some(150), |n| window(n, Algorithm::FixedWindow)),
    case("`sliding_window`, 1 k keys", "`gcra`", Some(150), |n| {
        window(n, Algorithm::SlidingWindow)
    }),
    // It takes the general path, and has no target.
    case("`strict_window`, 1 k keys", "`gcra`", None, |n| window(n, Algorithm::StrictWindow)),
];

impl Contenders {
    fn of(theirs: impl FnMut() -> u128 + 'static, ours: impl FnMut() -> u128 + 'static) -> Self {
        Self { theirs: Box::new(theirs), ours: Box::new(ours) }
    }
}

fn per_second(limit: u32) -> Quota {
    Quota::per_second(limit.into()).expect("the quota is one")
}

fn hot_admitted(checks: usize) -> Contenders {
    let limit = NonZeroU32::new(UNLIMITED).expect("it is not zero");
    let peer = Governor::of(governor::Quota::per_second(limit));
    let ours = policy(1_000, per_second(UNLIMITED), Some(rule()));
    let same = vec![vec![address(1); checks]; 2];
    let theirs = same.clone();
    Contenders::of(
        move || time(&theirs, |address| peer.check(address)),
        move || time(&same, |address| check_address(&ours, address)),
    )
}

/// Without a ban rule, since refusals would soon ban.
fn hot_refused(checks: usize) -> Contenders {
    let peer = Governor::of(governor::Quota::per_hour(NonZeroU32::MIN));
    let ours = policy(1_000, Quota::per_hour(1).expect("the quota is one"), None);
    let same = vec![vec![address(1); checks]; 2];
    peer.check(&address(1));
    check_address(&ours, &address(1));
    let theirs = same.clone();
    Contenders::of(
        move || time(&theirs, |address| assert!(!peer.admits(address))),
        move || time(&same, |address| assert!(!decide_address(&ours, address))),
    )
}

/// Every check is of a new key; `governor` has no bound, and grows.
fn newcomers(checks: usize) -> Contenders {
    let peer = Governor::new();
    let ours = policy(100_000, Quota::per_hour(20).expect("the quota is one"), Some(rule()));
    let fresh = move |from: &mut usize| {
        *from += checks;
        vec![(*from - checks..*from).map(address).collect::<Vec<IpAddr>>()]
    };
    let (mut theirs_from, mut ours_from) = (0, 0);
    Contenders::of(
        move || time(&fresh(&mut theirs_from), |address| peer.check(address)),
        move || {
            time(&fresh(&mut ours_from), |address| {
                decide_address(&ours, address);
            })
        },
    )
}

fn keys(checks: usize, count: usize) -> Vec<Vec<IpAddr>> {
    let addresses: Vec<IpAddr> = (0..count).map(address).collect();
    in_order(&[order(checks, count, false, 1)], &addresses)
}

fn banned(checks: usize) -> Contenders {
    let [none, half] = [(); 2].map(|()| policy(40_000, per_second(LIMIT), Some(rule())));
    for n in 0..10_000 {
        for ours in [&none, &half] {
            check_address(ours, &address(n));
        }
    }
    for n in (0..10_000).step_by(2) {
        let key = Key::ip(address(n));
        let ban = half.limiter().ban("bench", &key, Duration::from_secs(3_600));
        futures_executor::block_on(ban).expect("memory does not fail");
    }
    let addresses = keys(checks, 10_000);
    let again = addresses.clone();
    let decide = |ours: &PolicySet, address: &IpAddr| {
        decide_address(ours, address);
    };
    Contenders::of(
        move || time(&again, |address| decide(&none, address)),
        move || time(&addresses, |address| decide(&half, address)),
    )
}

fn four_quotas(checks: usize) -> Contenders {
    let quotas = [1, 60, 3_600, 86_400].map(|seconds| {
        Quota::new(u64::from(LIMIT) * seconds, Duration::from_secs(seconds))
            .expect("the quota is one")
    });
    // As much room a counter as the others have, so that no bucket is full.
    let ours = policy(32_000, Quotas::new(quotas).expect("they differ"), Some(rule()));
    let (peer, addresses) = (Governor::new(), keys(checks, 1_000));
    let again = addresses.clone();
    Contenders::of(
        move || time(&again, |address| peer.check(address)),
        move || time(&addresses, |address| check_address(&ours, address)),
    )
}

/// `check_all` of sixteen clients at once.
fn at_once(checks: usize) -> Contenders {
    const KEYS: usize = 1_000_000;
    let (peer, ours) = (Governor::new(), policy(2 * KEYS, per_second(LIMIT), Some(rule())));
    for n in 0..KEYS {
        peer.check(&address(n));
        check_address(&ours, &address(n));
    }
    let addresses: Vec<IpAddr> = order(checks, KEYS, true, 1).into_iter().map(address).collect();
    let groups: Vec<[IpAddr; 16]> = addresses.as_chunks().0.to_vec();
    let again = groups.clone();
    Contenders::of(
        move || {
            let all = |group: &[IpAddr; 16]| group.iter().for_each(|one| peer.check(one));
            time(from_ref(&again), all) / 16
        },
        move || {
            let all = |group: &[IpAddr; 16]| {
                let keys = group.iter().map(|address| ours.subjects_of(&Key::ip(*address)));
                // By `array::map` each was moved twice more.
                let keys: Vec<Subjects> = keys.collect();
                let decisions = futures_executor::block_on(ours.check_all(&keys, 1));
                assert!(decisions.iter().all(Result::is_ok));
            };
            time(from_ref(&groups), all) / 16
        },
    )
}

fn window(checks: usize, algorithm: Algorithm) -> Contenders {
    let by = |algorithm| {
        let quota = per_second(LIMIT).with_algorithm(algorithm).expect("it has no burst");
        // So much room that no bucket of the table is ever full: in a full one the usage of
        // all keys together, which is more than one may use, would count for newcomers.
        policy(8 * 1_000, quota, Some(rule()))
    };
    let (gcra, ours) = (by(Algorithm::Gcra), by(algorithm));
    let addresses = keys(checks, 1_000);
    let again = addresses.clone();
    Contenders::of(
        move || time(&again, |address| check_address(&gcra, address)),
        move || time(&addresses, |address| check_address(&ours, address)),
    )
}

//! The hard cases: one hot key, newcomers to a full store, banned keys, several
//! quotas, other algorithms.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use limiter_core::{Algorithm, Key, PolicySet, Quota, Quotas, Verdict};

use crate::{
    CHECKS, compare,
    work::{Governor, LIMIT, address, decide_address, in_order, order, policy, rule, time},
};

/// Units a second: so many that not even a single key is refused.
const UNLIMITED: u32 = 1_000_000_000;

/// Measures one case and prints its row under the name.
type Measure = fn(&str);

pub(crate) fn run(is_wanted: impl Fn(&str) -> bool) {
    let cases: [(&str, Measure); 7] = [
        ("hot key, 2 threads, admitted", hot_admitted),
        ("hot key, 2 threads, refused", hot_refused),
        ("newcomers on a full store", newcomers),
        ("half of 10000 keys banned (none banned)", banned),
        ("4 quotas (governor: one), 1000 keys", four_quotas),
        ("windows (gcra), 1000 keys", windows),
        ("16 at once, 1000000 keys, Zipf", at_once),
    ];
    cases.into_iter().filter(|(name, _)| is_wanted(name)).for_each(|(name, run)| run(name));
}

fn per_second(limit: u32) -> Quota {
    Quota::per_second(limit.into()).expect("the quota is one")
}

fn hot_admitted(name: &str) {
    let limit = NonZeroU32::new(UNLIMITED).expect("it is not zero");
    let peer = Governor::of(governor::Quota::per_second(limit));
    let ours = policy(1_000, per_second(UNLIMITED), Some(rule()));
    let same = vec![vec![address(1); CHECKS]; 2];
    compare(
        name,
        || time(&same, |address| peer.check(address)),
        || time(&same, |address| assert!(decide_address(&ours, address).is_allowed())),
    );
}

/// Without a ban rule, since refusals would soon ban.
fn hot_refused(name: &str) {
    let one = NonZeroU32::MIN;
    let peer = Governor::of(governor::Quota::per_hour(one));
    let ours = policy(1_000, Quota::per_hour(1).expect("the quota is one"), None);
    let same = vec![vec![address(1); CHECKS]; 2];
    peer.check(&address(1));
    assert!(decide_address(&ours, &address(1)).is_allowed());
    compare(
        name,
        || time(&same, |address| assert!(!peer.admits(address))),
        || time(&same, |address| assert!(!decide_address(&ours, address).is_allowed())),
    );
}

/// Every check is of a new key; `governor` has no bound, and grows.
fn newcomers(name: &str) {
    let peer = Governor::new();
    let ours = policy(100_000, Quota::per_hour(20).expect("the quota is one"), Some(rule()));
    let fresh = |from: usize| vec![(from..from + CHECKS).map(address).collect::<Vec<IpAddr>>()];
    let (mut theirs_from, mut ours_from) = (0, 0);
    compare(
        name,
        || {
            let fresh = fresh(theirs_from);
            theirs_from += CHECKS;
            time(&fresh, |address| peer.check(address))
        },
        || {
            let fresh = fresh(ours_from);
            ours_from += CHECKS;
            time(&fresh, |address| {
                let _ = decide_address(&ours, address);
            })
        },
    );
}

fn keys(count: usize) -> Vec<Vec<IpAddr>> {
    let addresses: Vec<IpAddr> = (0..count).map(address).collect();
    in_order(&[order(CHECKS, count, false, 1)], &addresses)
}

fn banned(name: &str) {
    let [none, half] = [(); 2].map(|()| policy(40_000, per_second(LIMIT), Some(rule())));
    for n in 0..10_000 {
        for ours in [&none, &half] {
            let _ = decide_address(ours, &address(n));
        }
    }
    for n in (0..10_000).step_by(2) {
        let key = Key::ip(address(n));
        let ban = half.limiter().ban("bench", &key, Duration::from_secs(3_600));
        futures_executor::block_on(ban).expect("memory does not fail");
    }
    let addresses = keys(10_000);
    let verdicts = |ours: &PolicySet, address: &IpAddr| {
        assert_ne!(decide_address(ours, address).verdict(), Verdict::Limited);
    };
    compare(
        name,
        || time(&addresses, |address| verdicts(&none, address)),
        || time(&addresses, |address| verdicts(&half, address)),
    );
}

fn four_quotas(name: &str) {
    let quotas = [1, 60, 3_600, 86_400].map(|seconds| {
        Quota::new(u64::from(LIMIT) * seconds, Duration::from_secs(seconds))
            .expect("the quota is one")
    });
    let ours = policy(8_000, Quotas::new(quotas).expect("they differ"), Some(rule()));
    let (peer, addresses) = (Governor::new(), keys(1_000));
    compare(
        name,
        || time(&addresses, |address| peer.check(address)),
        || time(&addresses, |address| assert!(decide_address(&ours, address).is_allowed())),
    );
}

/// `check_all` of sixteen clients at once.
fn at_once(name: &str) {
    const KEYS: usize = 1_000_000;
    let (peer, ours) = (Governor::new(), policy(2 * KEYS, per_second(LIMIT), Some(rule())));
    for n in 0..KEYS {
        peer.check(&address(n));
        let _ = decide_address(&ours, &address(n));
    }
    let addresses: Vec<IpAddr> = order(CHECKS, KEYS, true, 1).into_iter().map(address).collect();
    let groups: Vec<[IpAddr; 16]> = addresses.as_chunks().0.to_vec();
    compare(
        name,
        || {
            time(std::slice::from_ref(&groups), |group| {
                group.iter().for_each(|address| peer.check(address));
            })
        },
        || {
            time(std::slice::from_ref(&groups), |group| {
                let keys = group.map(|address| ours.subjects_of(&Key::ip(address)));
                let decisions = futures_executor::block_on(ours.check_all(&keys, 1));
                assert!(decisions.iter().all(|decision| decision.is_ok()));
            })
        },
    );
}

fn windows(name: &str) {
    let by = |algorithm| {
        let quota = per_second(LIMIT).with_algorithm(algorithm).expect("it has no burst");
        policy(2_000, quota, Some(rule()))
    };
    let gcra = by(Algorithm::Gcra);
    let addresses = keys(1_000);
    let check = |ours: &PolicySet, address: &IpAddr| {
        assert!(decide_address(ours, address).is_allowed());
    };
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::StrictWindow] {
        let ours = by(algorithm);
        compare(
            &format!("{}, {name}", algorithm.as_str()),
            || time(&addresses, |address| check(&gcra, address)),
            || time(&addresses, |address| check(&ours, address)),
        );
    }
}

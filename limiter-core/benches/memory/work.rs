//! Work for stores in memory, for `governor` and for ours, and how it is
//! timed. `tests/benchmarks` measures by it as well.

use std::{
    collections::hash_map::RandomState,
    hint::{self, black_box},
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use governor::{RateLimiter, clock::DefaultClock, state::keyed::DashMapStateStore};
use limiter_core::{
    Answer, BanRule, Key, Limiter, MemoryStore, Policy, PolicySet, Quotas, Subjects,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Zipf};

/// Units a second: so many that none is refused.
pub(crate) const LIMIT: u32 = 1_000_000;

pub(crate) fn address(n: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(n).expect("there are few keys")).into()
}

/// Which key each of so many checks asks for: of all alike, or by Zipf's law.
pub(crate) fn order(checks: usize, keys: usize, zipf: bool, seed: u64) -> Vec<usize> {
    let mut random = SmallRng::seed_from_u64(seed);
    #[allow(clippy::cast_precision_loss, reason = "the number of keys is small")]
    let ranks = Zipf::new(keys as f64, 1.0).expect("there are keys");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is whole")]
    let mut one = || match zipf {
        true => ranks.sample(&mut random) as usize - 1,
        false => random.random_range(0..keys),
    };
    (0..checks).map(|_| one()).collect()
}

/// `governor`, keyed by address.
pub(crate) struct Governor(
    RateLimiter<IpAddr, DashMapStateStore<IpAddr, RandomState>, DefaultClock>,
);

impl Governor {
    pub(crate) fn new() -> Self {
        let limit = NonZeroU32::new(LIMIT).expect("the limit is not zero");
        Self::of(governor::Quota::per_second(limit))
    }

    pub(crate) fn of(quota: governor::Quota) -> Self {
        Self(RateLimiter::dashmap(quota))
    }

    pub(crate) fn check(&self, address: &IpAddr) {
        assert!(self.admits(address));
    }

    pub(crate) fn admits(&self, address: &IpAddr) -> bool {
        black_box(self.0.check_key(address)).is_ok()
    }
}

/// A ban rule that is not in force.
pub(crate) fn rule() -> BanRule {
    let minute = Duration::from_secs(60);
    BanRule::after_strikes(10).within(minute).for_duration(minute).expect("the rule is one")
}

/// Ours, in a memory store with room for so many keys.
pub(crate) fn policy(
    max_keys: usize,
    quotas: impl Into<Quotas>,
    ban: Option<BanRule>,
) -> PolicySet {
    let policy = Policy::new("bench", quotas).expect("the name is one");
    let policy = ban.into_iter().fold(policy, Policy::with_ban);
    let store = MemoryStore::builder().max_keys(max_keys).build();
    let limiter = Limiter::builder().store(store).policy(policy).build();
    let limiter = futures_executor::block_on(limiter).expect("the policy fits");
    limiter.policy("bench").expect("it was just named")
}

/// Makes a whole decision. Returns true if it admits.
pub(crate) fn decide(policies: &PolicySet, subjects: &Subjects) -> bool {
    let answer = policies.check(subjects, 1);
    // All of it has to be there, and is read where it is: moved three times, as it was before,
    // it took 7 to 15 ns more, which were the benchmark's own.
    let Answer::Ready(Some(Ok(decision))) = black_box(&answer) else {
        panic!("memory answers at once, and does not fail");
    };
    decision.is_allowed()
}

/// A check that is admitted, of subjects that were made before.
#[allow(dead_code, reason = "the report measures by it, the benchmark does not")]
pub(crate) fn check(policies: &PolicySet, subjects: &Subjects) {
    assert!(decide(policies, subjects));
}

/// Makes a whole decision about an address, whose key is built for it.
pub(crate) fn decide_address(policies: &PolicySet, address: &IpAddr) -> bool {
    decide(policies, &policies.subjects_of(&Key::ip(*address)))
}

/// A check of an address that is admitted.
pub(crate) fn check_address(policies: &PolicySet, address: &IpAddr) {
    assert!(decide_address(policies, address));
}

/// The keys in the order in which each thread asks for them, side by side in
/// memory: it is finding a key's record that is measured, not finding the key.
pub(crate) fn in_order<K: Clone>(orders: &[Vec<usize>], keys: &[K]) -> Vec<Vec<K>> {
    orders.iter().map(|order| order.iter().map(|key| keys[*key].clone()).collect()).collect()
}

/// Picoseconds a check, each thread asking for keys of its own, all at once.
///
/// Threads wait for the last one without sleeping. Woken from a barrier, two were often on one
/// processor for a while and ran one after the other: with two threads, the same limiter took
/// twice as long in one run as in another.
pub(crate) fn time<K: Sync>(asked: &[Vec<K>], check: impl Fn(&K) + Sync) -> u128 {
    let missing = AtomicUsize::new(asked.len());
    let times: Vec<Duration> = thread::scope(|scope| {
        let tasks: Vec<_> = asked
            .iter()
            .map(|keys| {
                scope.spawn(|| {
                    missing.fetch_sub(1, Ordering::AcqRel);
                    while missing.load(Ordering::Acquire) > 0 {
                        hint::spin_loop();
                    }
                    let start = Instant::now();
                    keys.iter().for_each(&check);
                    start.elapsed()
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("no check panics")).collect()
    });
    let longest = times.into_iter().max().unwrap_or_default();
    let checks = asked.iter().map(Vec::len).max().unwrap_or(1).max(1);
    longest.as_nanos() * 1_000 / checks as u128
}

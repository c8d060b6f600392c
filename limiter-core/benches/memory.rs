//! A check in memory, beside `governor`'s keyed one.
//!
//! `cargo bench -p limiter-core` prints nanoseconds a check and their ratio.
//! Both are asked in turn, round by round, so that a machine whose speed drifts
//! drifts for both; the figures are medians of the rounds. `check` is a whole
//! decision by a policy of one GCRA quota, `with ban rule` the same with a rule
//! that is not in force. The keys lie in memory in the order in which they are
//! asked for, so that finding a key's record is measured and not finding the key.
//!
//! `cargo bench -p limiter-core -- 1000` measures with 1000 keys alone.

use std::{
    collections::hash_map::RandomState,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use governor::{RateLimiter, clock::DefaultClock, state::keyed::DashMapStateStore};
use limiter_core::{
    Answer, BanRule, Key, Limiter, MemoryStore, Policy, PolicySet, Quota, Subjects,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Zipf};

/// Checks that each thread makes in a round.
const CHECKS: usize = 500_000;
const ROUNDS: usize = 7;
/// So many a second that none is refused.
const LIMIT: u32 = 1_000_000;

fn main() {
    println!(
        "{:>9} {:>8} {:>7} | {:>8} | {:>8} {:>5} | {:>13} {:>5}",
        "keys", "spread", "threads", "governor", "check", "ratio", "with ban rule", "ratio"
    );
    let wanted = std::env::args().find_map(|argument| argument.parse().ok());
    for keys in [1_000, 100_000, 1_000_000] {
        if wanted.is_some_and(|wanted: usize| wanted != keys) {
            continue;
        }
        for zipf in [false, true] {
            for threads in [1, 2] {
                compare(keys, zipf, threads);
            }
        }
    }
}

fn compare(keys: usize, zipf: bool, threads: usize) {
    let orders: Vec<Vec<IpAddr>> =
        (0..threads).map(|seed| order(keys, zipf, seed as u64)).collect();
    let peer = Peer::new();
    let plain = policy(None);
    let minute = Duration::from_secs(60);
    let banning = policy(Some(BanRule::new(10, minute, minute).expect("the rule is one")));
    let subjects = |address: &IpAddr| plain.subjects_of(&Key::ip(*address));
    let subjects: Vec<Vec<Subjects>> =
        orders.iter().map(|order| order.iter().map(subjects).collect()).collect();

    let mut times = [const { Vec::new() }; 3];
    // The first round warms up: it fills the stores.
    for round in 0..=ROUNDS {
        let figures = [
            time(&orders, |address| peer.check(address)),
            time(&subjects, |subjects| check(&plain, subjects)),
            time(&subjects, |subjects| check(&banning, subjects)),
        ];
        if round > 0 {
            times.iter_mut().zip(figures).for_each(|(times, figure)| times.push(figure));
        }
    }
    let [governor, check, ban] = times.map(median);
    println!(
        "{keys:>9} {:>8} {threads:>7} | {governor:>8} | {check:>8} {:>5} | {ban:>13} {:>5}",
        if zipf { "zipf" } else { "uniform" },
        ratio(check, governor),
        ratio(ban, governor),
    );
}

fn address(n: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(n).expect("there are few keys")).into()
}

/// Which address each check asks for.
fn order(keys: usize, zipf: bool, seed: u64) -> Vec<IpAddr> {
    let mut random = SmallRng::seed_from_u64(seed);
    #[allow(clippy::cast_precision_loss, reason = "the number of keys is small")]
    let ranks = Zipf::new(keys as f64, 1.0).expect("there are keys");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is whole")]
    let mut one = || match zipf {
        true => ranks.sample(&mut random) as usize - 1,
        false => random.random_range(0..keys),
    };
    (0..CHECKS).map(|_| address(one())).collect()
}

/// `governor`, keyed by address.
struct Peer(RateLimiter<IpAddr, DashMapStateStore<IpAddr, RandomState>, DefaultClock>);

impl Peer {
    fn new() -> Self {
        let limit = NonZeroU32::new(LIMIT).expect("the limit is not zero");
        Self(RateLimiter::dashmap(governor::Quota::per_second(limit)))
    }

    fn check(&self, address: &IpAddr) {
        assert!(black_box(self.0.check_key(address)).is_ok());
    }
}

fn policy(ban: Option<BanRule>) -> PolicySet {
    let quota = Quota::per_second(LIMIT.into()).expect("the quota is one");
    let policy = Policy::new("bench", quota).expect("the name is one");
    let policy = ban.into_iter().fold(policy, Policy::with_ban);
    let store = MemoryStore::builder().max_keys(2_000_000).build();
    let limiter = Limiter::builder().store(store).policy(policy).build();
    let limiter = futures_executor::block_on(limiter).expect("the policy fits");
    limiter.policy("bench").expect("it was just named")
}

fn check(policies: &PolicySet, subjects: &Subjects) {
    let Answer::Ready(Some(decision)) = black_box(policies.check(subjects, 1)) else {
        panic!("memory answers at once");
    };
    assert!(decision.is_ok_and(|decision| decision.is_allowed()));
}

/// Picoseconds a check, over all threads at once.
fn time<K: Sync>(orders: &[Vec<K>], check: impl Fn(&K) + Sync) -> u128 {
    let barrier = Barrier::new(orders.len());
    let times: Vec<Duration> = thread::scope(|scope| {
        let tasks: Vec<_> = orders
            .iter()
            .map(|order| {
                scope.spawn(|| {
                    barrier.wait();
                    let start = Instant::now();
                    order.iter().for_each(&check);
                    start.elapsed()
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("no check panics")).collect()
    });
    let longest = times.into_iter().max().unwrap_or_default();
    longest.as_nanos() * 1_000 / CHECKS as u128
}

fn median(mut times: Vec<u128>) -> u128 {
    times.sort_unstable();
    times[times.len() / 2] / 1_000
}

/// Two decimals, without a float.
fn ratio(ours: u128, theirs: u128) -> String {
    let hundredths = ours * 100 / theirs.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

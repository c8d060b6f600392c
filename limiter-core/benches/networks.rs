//! A lookup in a list of networks: `cargo bench -p limiter-core --bench networks`
//! prints nanoseconds a lookup among 100,000 networks of each family, the median of
//! the rounds. Half of the addresses are in a network. It ends with an error above
//! 200 ns.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use limiter_core::Networks;
use rand::{RngExt, SeedableRng, rngs::StdRng};

const NETWORKS: usize = 100_000;
const LOOKUPS: usize = 1_000_000;
const ROUNDS: usize = 9;
const MOST_NANOS: u128 = 200;

fn main() {
    let mut random = StdRng::seed_from_u64(18);
    for family in ["IPv4", "IPv6"] {
        let mut address = || -> IpAddr {
            match family {
                "IPv4" => Ipv4Addr::from_bits(random.random()).into(),
                _ => Ipv6Addr::from_bits(0x2001 << 112 | random.random::<u128>() >> 16).into(),
            }
        };
        let hosts: Vec<IpAddr> = (0..NETWORKS).map(|_| address()).collect();
        let texts: Vec<String> = hosts.iter().map(IpAddr::to_string).collect();
        let networks = Networks::parse(texts.iter().map(String::as_str)).expect("all are networks");
        let known = hosts.iter().cycle();
        let sought: Vec<IpAddr> =
            known.take(LOOKUPS / 2).flat_map(|known| [*known, address()]).collect();
        let nanos = median(|| sought.iter().filter(|one| networks.contains(**one)).count());
        println!("{family}: {nanos} ns a lookup");
        assert!(nanos <= MOST_NANOS, "a lookup is to take {MOST_NANOS} ns at most");
    }
}

/// Nanoseconds a lookup, of [`LOOKUPS`].
fn median(lookups: impl Fn() -> usize) -> u128 {
    let round = || {
        let start = Instant::now();
        black_box(lookups());
        start.elapsed().as_nanos() / LOOKUPS as u128
    };
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

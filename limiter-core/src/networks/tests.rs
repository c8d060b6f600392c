use std::net::{Ipv4Addr, Ipv6Addr};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn networks(list: &[&str]) -> Networks {
    Networks::parse(list.iter().copied()).unwrap()
}

#[test]
fn nested_networks_answer_with_the_smallest() {
    let list = networks(&[
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.0.0/24",
        "10.1.255.255",
        "255.255.255.255",
        "0.0.0.0",
        "2001:db8::/32",
        "2001:db8::1",
    ]);
    let table = [
        ("10.0.0.1", Some(8)),
        ("10.1.0.1", Some(24)),
        ("10.1.1.0", Some(16)),
        ("10.1.255.255", Some(32)),
        ("10.2.0.0", Some(8)),
        ("10.255.255.255", Some(8)),
        ("11.0.0.0", None),
        ("9.255.255.255", None),
        ("255.255.255.255", Some(32)),
        ("255.255.255.254", None),
        ("0.0.0.0", Some(32)),
        ("0.0.0.1", None),
        ("::ffff:10.1.0.1", Some(24)),
        ("2001:db8::1", Some(128)),
        ("2001:db8::2", Some(32)),
        ("2001:db9::", None),
    ];
    for (address, prefix) in table {
        assert_eq!(list.longest_prefix(address.parse().unwrap()), prefix, "{address}");
    }
    assert_eq!(Networks::default().longest_prefix("10.0.0.1".parse().unwrap()), None);
}

/// A random address, near one of few corners so that networks nest and touch.
fn address(random: &mut StdRng) -> IpAddr {
    if random.random() {
        Ipv4Addr::from(random.random::<u32>() & 0x0f03_00ff).into()
    } else {
        let corner = [0, u128::MAX, 0x2001_0db8 << 96][random.random_range(0..3)];
        Ipv6Addr::from(corner ^ (random.random::<u128>() & 0xf_ffff) << random.random_range(0..96))
            .into()
    }
}

fn network(random: &mut StdRng) -> IpNet {
    let address = address(random);
    let bits = if address.is_ipv4() { 32 } else { 128 };
    IpNet::new(address, random.random_range(0..=bits)).unwrap().trunc()
}

#[test]
fn a_million_lookups_equal_the_linear_search() {
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..100 {
        let size = random.random_range(0..60);
        let linear: Vec<_> = (0..size).map(|_| unmap(network(&mut random))).collect();
        let texts: Vec<_> = linear.iter().map(ToString::to_string).collect();
        let list = Networks::parse(texts.iter().map(String::as_str)).unwrap();
        for _ in 0..10_000 {
            let address = canonical(address(&mut random));
            let holding = linear.iter().filter(|network| network.contains(&address));
            let expected = holding.map(IpNet::prefix_len).max();
            assert_eq!(list.longest_prefix(address), expected, "{address} in {linear:?}");
        }
        for _ in 0..100 {
            let other = unmap(network(&mut random));
            let expected = linear.iter().any(|own| own.contains(&other) || other.contains(own));
            assert_eq!(list.overlap(other), expected, "{other} and {linear:?}");
        }
    }
}

#[test]
fn lists_are_compared_and_read_as_text() {
    let one = networks(&["10.0.0.0/8", "2001:db8::/32"]);
    assert!(one.common(&networks(&["10.0.0.0/9"])).is_none());
    let common = one.common(&networks(&["192.0.2.1", "2001:db8::/32"]));
    assert_eq!(common.unwrap().to_string(), "2001:db8::/32");
    let text: Networks = " 10.0.0.0/8,2001:db8::/32, ".parse().unwrap();
    assert_eq!(format!("{text:?}"), format!("{one:?}"));
    assert!(networks(&["0.0.0.0/1", "128.0.0.0/1"]).covers_all_addresses());
    assert!(!networks(&["0.0.0.0/1"]).covers_all_addresses());
}

#[test]
fn a_documented_prefix_names_its_ipv4_address() {
    let table = [
        ("64:ff9b::198.51.100.7", Some("198.51.100.7")),
        ("::ffff:0:198.51.100.7", Some("198.51.100.7")),
        ("2002:c633:6407:1::1", Some("198.51.100.7")),
        ("2001:0:4136:e378:8000:63bf:39cc:9bf8", Some("198.51.100.7")),
        // Another prefix of NAT64 may hold the address elsewhere.
        ("64:ff9b:1::198.51.100.7", None),
        ("2001:db8::198.51.100.7", None),
        // No public address is none that a translator may write.
        ("64:ff9b::10.0.0.7", None),
        ("2002:7f00:1::1", None),
        ("2002:6440:1::1", None),
        ("::ffff:0:0.0.0.0", None),
        ("198.51.100.7", None),
    ];
    for (address, expected) in table {
        let found = embedded_ipv4(address.parse().unwrap()).map(|v4| v4.to_string());
        assert_eq!(found.as_deref(), expected, "{address}");
    }
}

/// The examples of RFC 6052, section 2.4.
#[test]
fn a_prefix_of_ones_own_names_its_ipv4_address_by_its_length() {
    let table = [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ];
    for (prefix, address) in table {
        let prefixes = Nat64Prefixes::parse([prefix]).unwrap();
        let found = prefixes.embedded_ipv4(address.parse().unwrap());
        assert_eq!(found, "192.0.2.33".parse().ok(), "{prefix}");
    }
    let own = Nat64Prefixes::parse(["64:ff9b:1::/96"]).unwrap();
    let found = |address: &str| own.embedded_ipv4(address.parse().unwrap());
    assert_eq!(found("64:ff9b:1::10.0.0.7"), "10.0.0.7".parse().ok());
    assert_eq!(found("64:ff9b::198.51.100.7"), "198.51.100.7".parse().ok());
    assert_eq!(found("64:ff9b::10.0.0.7"), None);
    for wrong in ["10.0.0.0/8", "2001:db8::/33", "2001:db8::1/96", "2001:db8::", "nat64"] {
        let error = Nat64Prefixes::parse([wrong]).unwrap_err().to_string();
        assert!(error.contains("\"2001:db8:64::/96\""), "{error}");
    }
}

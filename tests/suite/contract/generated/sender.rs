//! The sender of a generated request: its address, its way, and its headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::random::Random;

pub(super) type Headers = Vec<(&'static str, String)>;

/// The client that a request counts for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Identity {
    /// An address, of IPv6 the first of its /64.
    Client(IpAddr),
    Allowed,
    Blocked,
    /// Behind a proxy that names nobody.
    Unknown,
}

pub(super) struct Sender {
    pub(super) identity: Identity,
    pub(super) peer: Option<IpAddr>,
    pub(super) headers: Headers,
    pub(super) user: Option<String>,
    pub(super) api_key: Option<String>,
}

/// A client of a generation in both families.
struct Addresses {
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    /// An address in the /64 of `v6`.
    host: Ipv6Addr,
}

impl Addresses {
    fn generate(random: &mut Random, generation: u64) -> Self {
        let [.., a, b] = generation.to_be_bytes();
        let n = u8::try_from(random.below(2)).expect("it is below 2");
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, u16::from_be_bytes([a, b]), n.into(), 0, 0, 0, 0);
        let host = Ipv6Addr::from_bits(v6.to_bits() | u128::from(random.next()));
        Self { v4: Ipv4Addr::new(203, a, b, n), v6, host }
    }

    /// IPv6 addresses that stand for the IPv4 address: mapped, NAT64, SIIT, 6to4, Teredo.
    fn embedded(&self, random: &mut Random) -> IpAddr {
        let bits = u128::from(self.v4.to_bits());
        let noise = u128::from(random.next());
        Ipv6Addr::from_bits(match random.below(5) {
            0 => 0xffff << 32 | bits,
            1 => 0x64_ff9b << 96 | bits,
            2 => 0xffff << 48 | bits,
            3 => 0x2002 << 112 | bits << 80 | noise,
            _ => 0x2001 << 112 | noise & (0xffff_ffff << 32) | u128::from(!self.v4.to_bits()),
        })
        .into()
    }
}

const SPOOFED: [&str; 6] =
    ["198.51.100.7", "10.0.0.7", "10.1.0.1", "2001:db8::7", "unknown", "for=198.18.0.1"];

impl Sender {
    pub(super) fn generate(random: &mut Random, generation: u64) -> Self {
        let client = Addresses::generate(random, generation);
        let proxy = Some(Ipv4Addr::new(10, 0, 0, 1).into());
        let (v4, v6) = (Identity::Client(client.v4.into()), Identity::Client(client.v6.into()));
        let (identity, peer, mut headers) = match random.below(14) {
            0..=2 => (v4, Some(client.v4.into()), spoofed(random)),
            3 | 4 => (v6, Some(client.host.into()), spoofed(random)),
            5 | 6 => (v4, Some(client.embedded(random)), spoofed(random)),
            7 | 8 => {
                let node = v4_node(random, client.v4);
                (v4, proxy, forwarded(random, &node))
            }
            9 | 10 => {
                let node = v6_node(random, client.host);
                (v6, proxy, forwarded(random, &node))
            }
            // The connection has no address, and counts as the fallback: a proxy.
            11 => (v4, None, forwarded(random, &client.v4.to_string())),
            12 => unknown(random, client.v4),
            _ => listed(random),
        };
        let user = random.one_in(3).then(|| format!("user-{generation}-{}", random.below(2)));
        headers.extend(user.iter().map(|user| ("x-test-user", user.clone())));
        let api_key = random.one_in(2).then(|| format!("key-{generation}-{}", random.below(3)));
        headers.extend(api_key.iter().map(|key| ("x-api-key", key.clone())));
        if random.one_in(8) {
            // The first line counts. An empty one is none.
            let line = if api_key.is_some() { "another" } else { "" };
            headers.push(("x-api-key", line.to_owned()));
        }
        Self { identity, peer, headers, user, api_key }
    }

    /// Adds some of a preflight's headers. Returns whether it is one.
    pub(super) fn add_preflight_headers(&mut self, random: &mut Random, method: &str) -> bool {
        let (origin, requested) = (!random.one_in(3), !random.one_in(3));
        if origin {
            let origin = random.of(&["https://example.org", "null", ""]);
            self.headers.push(("origin", origin.to_owned()));
        }
        if requested {
            let method = random.of(&["POST", "x", ""]);
            self.headers.push(("access-control-request-method", method.to_owned()));
        }
        method == "OPTIONS" && origin && requested
    }
}

/// Headers that a stranger forges, which count for nothing.
fn spoofed(random: &mut Random) -> Headers {
    let names = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"];
    let count = random.below(3);
    (0..count).map(|_| (random.of(&names), random.of(&SPOOFED).to_owned())).collect()
}

fn v4_node(random: &mut Random, address: Ipv4Addr) -> String {
    match random.below(4) {
        0 => format!("{address}:{}", random.below(65_536)),
        1 => address.to_ipv6_mapped().to_string(),
        _ => address.to_string(),
    }
}

fn v6_node(random: &mut Random, address: Ipv6Addr) -> String {
    match random.below(4) {
        0 => format!("[{address}]:{}", random.below(65_536)),
        1 => format!("[{address}]"),
        _ => address.to_string(),
    }
}

/// The header of a proxy that appends a node: to what the client wrote, on the
/// same line or another, with other proxies behind it.
fn forwarded(random: &mut Random, node: &str) -> Headers {
    let behind = random.of(&["", "", ", 10.0.0.3", ",10.0.0.3, ::ffff:10.9.9.9"]);
    let line = |text: String| ("x-forwarded-for", text);
    let mut headers = match random.below(3) {
        0 => vec![line(format!("{node}{behind}"))],
        1 => vec![line(format!("{}, {node}{behind}", random.of(&SPOOFED)))],
        _ => vec![line(random.of(&SPOOFED).to_owned()), line(format!("{node}{behind}"))],
    };
    if random.one_in(4) {
        headers.push(("forwarded", "for=198.51.100.9".to_owned()));
    }
    headers
}

type Way = (Identity, Option<IpAddr>, Headers);

/// A proxy without the header, or with one that names nobody.
fn unknown(random: &mut Random, client: Ipv4Addr) -> Way {
    let peer = random.of(&[Some(Ipv4Addr::new(10, 0, 0, 1).into()), None]);
    let lines = ["", "unknown", "_hidden", "1.2.3", "256.1.1.1", "0.0.0.0", "2001:db8::1::"];
    let line = match random.below(4) {
        0 => return (Identity::Unknown, peer, vec![("x-real-ip", client.to_string())]),
        1 => format!("{client},"),
        2 => format!("{client}, {}", random.of(&lines)),
        _ => random.of(&lines).to_owned(),
    };
    (Identity::Unknown, peer, vec![("x-forwarded-for", line)])
}

/// Addresses of `allow` and `block`, by each way.
fn listed(random: &mut Random) -> Way {
    let address = |text: &str| text.parse().ok();
    let through = |text: &str| (address("10.0.0.1"), vec![("x-forwarded-for", text.to_owned())]);
    let way = random.below(6);
    let (peer, headers) = match way {
        0 => (address("10.1.0.1"), vec![]),
        1 => through("10.1.2.3, 10.0.0.2"),
        2 => (address("198.18.0.1"), spoofed(random)),
        3 => (address("64:ff9b::198.19.0.1"), spoofed(random)),
        4 => through("2001:db8::7, 198.18.0.1"),
        _ => through("198.18.0.1, 10.1.0.1"),
    };
    (if way < 2 { Identity::Allowed } else { Identity::Blocked }, peer, headers)
}

//! IPv6 addresses that stand for an IPv4 address.
//!
//! A translator or tunnel maps IPv4 clients into one prefix. Cut to a /64, all
//! clients of a translator would be one client (RFC 6052), and each client of
//! 6to4, which owns a /48, would be 65,536.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use crate::error::ConfigError;

/// Lengths of prefixes that an IPv4 address may follow (RFC 6052, section 2.2).
const NAT64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// The byte of an address that no IPv4 address reaches into (RFC 6052, `u`).
const RESERVED_BYTE: usize = 8;

/// Prefixes of a site's own translators (NAT64, SIIT), which no document names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nat64Prefixes(Vec<Ipv6Net>);

impl Nat64Prefixes {
    /// Reads prefixes in CIDR notation.
    pub(crate) fn parse<'a>(
        prefixes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ConfigError> {
        let parse = |text: &str| {
            let prefix = text.parse::<Ipv6Net>().ok().filter(|prefix| {
                NAT64_LENGTHS.contains(&prefix.prefix_len()) && prefix.trunc() == *prefix
            });
            prefix.ok_or_else(|| {
                ConfigError::new(format!(
                    "{text:?} is no prefix of a translator; write an IPv6 network of 32, 40, 48, \
                     56, 64 or 96 bits, such as \"2001:db8:64::/96\""
                ))
            })
        };
        prefixes.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the IPv4 address in an address of one of these prefixes, or of a
    /// documented one. Of these it may be any: only the site's translator sends
    /// from them.
    #[inline]
    pub(crate) fn embedded_ipv4(&self, address: IpAddr) -> Option<Ipv4Addr> {
        let IpAddr::V6(v6) = address else { return None };
        let own = self.0.iter().find(|prefix| prefix.contains(&v6));
        own.map(|prefix| behind(*prefix, v6)).or_else(|| embedded_ipv4(address))
    }
}

/// The four bytes behind a prefix, without the reserved one.
fn behind(prefix: Ipv6Net, address: Ipv6Addr) -> Ipv4Addr {
    let start = usize::from(prefix.prefix_len() / 8);
    let bytes = address.octets();
    let mut behind = (start..bytes.len()).filter(|at| *at != RESERVED_BYTE).map(|at| bytes[at]);
    [(); 4].map(|()| behind.next().unwrap_or_default()).into()
}

/// Returns the IPv4 address in an IPv6 address of a documented prefix: NAT64
/// `64:ff9b::/96` (RFC 6052), SIIT `::ffff:0:0:0/96` (RFC 2765), 6to4
/// `2002::/16` (RFC 3056), Teredo `2001::/32` (RFC 4380, the client's address
/// with its bits inverted).
///
/// `None` for an IPv4 address that is not public: the RFCs forbid it there, so
/// it would let an address claim to be one of an internal network.
#[inline]
pub(crate) fn embedded_ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    find(v6).filter(|v4| is_public(*v4))
}

fn find(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let last_bits = (u128::from(v6) & 0xffff_ffff) as u32;
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(last_bits.into()),
        [0x2002, high, low, ..] => Some((u32::from(high) << 16 | u32::from(low)).into()),
        [0x2001, 0, ..] => Some((!last_bits).into()),
        _ => None,
    }
}

fn is_public(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    let is_carrier_nat = a == 100 && b & 0xc0 == 64;
    let is_reserved = a == 0 || a >= 224;
    !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_carrier_nat || is_reserved)
}

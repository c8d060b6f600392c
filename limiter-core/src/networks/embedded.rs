//! IPv6 addresses that stand for an IPv4 address.
//!
//! A translator or tunnel maps IPv4 clients into one prefix. Cut to a /64, all
//! clients of a translator would be one client (RFC 6052), and each client of
//! 6to4, which owns a /48, would be 65,536.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the IPv4 address in an IPv6 address of a documented prefix: NAT64
/// `64:ff9b::/96` (RFC 6052), SIIT `::ffff:0:0:0/96` (RFC 2765), 6to4
/// `2002::/16` (RFC 3056), Teredo `2001::/32` (RFC 4380, the client's address
/// with its bits inverted).
///
/// `None` for an IPv4 address that is not public: the RFCs forbid it there, so
/// it would let an address claim to be one of an internal network.
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

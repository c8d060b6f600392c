//! The key that an address counts by.

use std::net::IpAddr;

use super::ClientIp;
use crate::key::Key;

impl ClientIp {
    /// The IPv4 address that an IPv6 address stands for.
    #[inline]
    pub(crate) fn embedded_ipv4(&self, address: IpAddr) -> Option<IpAddr> {
        self.nat64_prefixes.embedded_ipv4(address).map(IpAddr::V4)
    }

    /// The key of an address, IPv6 cut as configured.
    #[inline]
    pub(crate) fn key(&self, address: IpAddr) -> Key {
        Key::ip_prefix(self.embedded_ipv4(address).unwrap_or(address), self.ipv6_prefix)
    }
}

//! Keys: the identity that a policy counts ([`Key`]), and the facts of a request that
//! it is made of ([`KeySpec`]).
//!
//! A key is a sequence of parts, each with its kind and its length, so that no
//! text a client chooses can run into another part or look like another kind:
//!
//! ```
//! use std::net::IpAddr;
//! use limiter_core::Key;
//!
//! let address: IpAddr = "2001:db8::1".parse()?;
//! assert_eq!(Key::ip(address).to_string(), "ip=2001:db8::/64");
//! assert_eq!(Key::ip(address), Key::ip("2001:db8::2".parse()?));
//!
//! // An IPv4-mapped address is the IPv4 address, whatever its notation.
//! assert_eq!(Key::ip("::ffff:1.2.3.4".parse()?), Key::ip("1.2.3.4".parse()?));
//!
//! // Combined parts stay apart, and so do kinds.
//! let ab_c = Key::user("ab").and(Key::custom("plan", "c"));
//! assert_ne!(ab_c, Key::user("a").and(Key::custom("plan", "bc")));
//!
//! // What may be secret, or is long or odd, is never shown.
//! let shown = format!("{:?}", Key::header("x-api-key", b"s3cret"));
//! assert!(!shown.contains("s3cret"), "{shown}");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod bytes;
mod display;
mod in_memory_hash;
mod spec;
mod text_form;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use self::bytes::KeyBytes;
#[cfg(feature = "memory")]
pub(crate) use self::in_memory_hash::mix;
pub use self::{
    spec::{KeyPart, KeySpec},
    text_form::ParseKeyError,
};
pub use crate::networks::IPV6_PREFIX;
use crate::networks::{canonical, embedded_ipv4};

/// The identity that a policy counts. See the [module docs](self).
///
/// Text of at most 64 letters, digits and `-_.` is kept as it is; longer or
/// other text, and every header value, is kept as the first half of its
/// SHA-256 digest only. Two such texts share a key with a chance of about
/// `n^2 / 2^129` among n of them.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Key(KeyBytes);

/// The kinds of part. The numbers are part of what stores keep.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(u8)]
enum Kind {
    Global = 0,
    Ipv4 = 4,
    Ipv6 = 6,
    User = 16,
    UserDigest = 17,
    Header = 18,
    Endpoint = 20,
    EndpointDigest = 21,
    Custom = 22,
    CustomDigest = 23,
    /// A digest by which a shared store keeps a key, and from which it cannot
    /// learn what the key was.
    Kept = 30,
}

impl Key {
    /// Everybody: one count for all.
    #[must_use]
    pub fn global() -> Self {
        Self::part(Kind::Global, &[])
    }

    /// An address, IPv6 cut to a /64. An IPv6 address that stands for a public
    /// IPv4 address (mapped, NAT64 `64:ff9b::/96`, SIIT `::ffff:0:0:0/96`,
    /// Teredo, 6to4) is that IPv4 address.
    #[inline]
    #[must_use]
    pub fn ip(address: IpAddr) -> Self {
        Self::ip_prefix(address, IPV6_PREFIX)
    }

    /// An address, IPv6 cut to its first `prefix` bits (at most 128).
    #[inline]
    #[must_use]
    pub fn ip_prefix(address: IpAddr, prefix: u8) -> Self {
        let address = canonical(address);
        match embedded_ipv4(address).map_or(address, IpAddr::V4) {
            IpAddr::V4(v4) => Self(KeyBytes::short_part(Kind::Ipv4 as u8, v4.octets())),
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                let mut bytes = [0; 17];
                bytes[..16].copy_from_slice(&(u128::from(v6) & mask).to_be_bytes());
                bytes[16] = prefix;
                Self::part(Kind::Ipv6, &bytes)
            }
        }
    }

    /// A user whom the application has identified.
    #[must_use]
    pub fn user(id: &str) -> Self {
        Self::text(Kind::User, Kind::UserDigest, &[], id.as_bytes())
    }

    /// The value of a request header. Only a digest of it is kept: it may be
    /// an API key.
    #[must_use]
    pub fn header(name: &str, value: &[u8]) -> Self {
        let name = name.to_ascii_lowercase();
        Self::digest(Kind::Header, name.as_bytes(), value)
    }

    /// A route, by method and pattern. HEAD counts as GET, and all methods
    /// that HTTP does not define count as one: a client can make them up.
    #[must_use]
    pub fn endpoint(method: &str, pattern: &str) -> Self {
        let endpoint = format!("{} {pattern}", counted_method(method));
        if endpoint.len() > 200 {
            return Self::digest(Kind::EndpointDigest, &[], endpoint.as_bytes());
        }
        Self::part(Kind::Endpoint, endpoint.as_bytes())
    }

    /// Anything else the application counts by: a tenant, a plan, a room.
    ///
    /// If a client can choose `value`, it can open a new count at will:
    /// combine it with a policy that counts the address. A `name` is cut
    /// after 64 bytes.
    #[must_use]
    pub fn custom(name: &str, value: &str) -> Self {
        let name = &name.as_bytes()[..name.len().min(64)];
        Self::text(Kind::Custom, Kind::CustomDigest, name, value.as_bytes())
    }

    /// Both at once: the key of those who share all parts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(KeyBytes::concat(self.as_bytes(), other.as_bytes()))
    }

    /// The encoded parts: what a store may hash or name its state by.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Returns its bytes as whole words and a last one, see [`KeyBytes::words`].
    fn words(&self) -> (&[[u8; 8]], u64) {
        self.0.words()
    }

    /// Returns the last word, if there is no other.
    #[inline]
    fn only_word(&self) -> Option<u64> {
        self.0.only_word()
    }

    /// The address (IPv6: its network) that the key counts, if it counts one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.parts().find_map(|(kind, payload)| address_of(kind, payload))
    }

    /// The network that the key counts, if it counts one; an IPv4 address is a
    /// network of one.
    pub(crate) fn network(&self) -> Option<IpNet> {
        self.parts().find_map(|(kind, payload)| {
            let address = address_of(kind, payload)?;
            let prefix = if address.is_ipv4() { 32 } else { *payload.last()? };
            IpNet::new(address, prefix).ok()
        })
    }

    fn part(kind: Kind, payload: &[u8]) -> Self {
        Self(KeyBytes::part(kind as u8, payload))
    }

    fn text(readable: Kind, digested: Kind, name: &[u8], value: &[u8]) -> Self {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if value.len() > 64 || !value.iter().all(plain) {
            return Self::digest(digested, name, value);
        }
        let mut payload: SmallVec<[u8; 128]> = named(name);
        payload.extend_from_slice(value);
        Self::part(readable, &payload)
    }

    fn digest(kind: Kind, name: &[u8], value: &[u8]) -> Self {
        let name = &name[..name.len().min(64)];
        let mut payload = named(name);
        payload.extend_from_slice(&Sha256::digest(value)[..16]);
        Self::part(kind, &payload)
    }

    fn parts(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.as_bytes();
        std::iter::from_fn(move || {
            let (&[kind, length], tail) = rest.split_first_chunk()?;
            let (payload, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            Some((kind, payload))
        })
    }
}

/// The method as endpoint keys count it: HEAD as GET, and all that HTTP does not
/// define as `*`.
pub(crate) fn counted_method(method: &str) -> &str {
    match method {
        "HEAD" => "GET",
        "GET" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "QUERY" => method,
        _ => "*",
    }
}

/// A payload that begins with a name, behind the name's length.
fn named(name: &[u8]) -> SmallVec<[u8; 128]> {
    let mut payload = SmallVec::new();
    // Names are at most 64 bytes.
    payload.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    payload.extend_from_slice(name);
    payload
}

/// Splits a payload into the name that [`named`] put first, and the rest.
fn split_name(payload: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = payload.split_first().unwrap_or((&0, &[]));
    rest.split_at(usize::from(*length).min(rest.len()))
}

fn address_of(kind: u8, payload: &[u8]) -> Option<IpAddr> {
    if kind == Kind::Ipv4 as u8 {
        let octets: [u8; 4] = payload.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    } else if kind == Kind::Ipv6 as u8 {
        let (octets, _) = payload.split_first_chunk::<16>()?;
        Some(Ipv6Addr::from(*octets).into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests;

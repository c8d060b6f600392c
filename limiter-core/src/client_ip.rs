//! Which address a request comes from: [`ClientIp`].
//!
//! By default that is the peer's, whatever headers say: a client can write any
//! of them. Behind proxies, name their networks and the one header that they
//! write. The header is believed only from a trusted peer, and is walked from
//! the right, where the nearest proxy appends; the first address that is no
//! proxy is the client. What a client wrote itself stands further left and is
//! never reached. (The rule is that of Adam Pritchard, "The perils of the
//! 'real' client IP", 2022.)
//!
//! ```
//! use limiter_core::ClientIp;
//!
//! let client_ip = ClientIp::default()
//!     .with_proxies(["10.0.0.0/8"], "x-forwarded-for")?;
//! let proxy = Some("10.0.0.7".parse()?);
//! let lines = [b"6.6.6.6, 203.0.113.9".as_slice(), b"10.0.0.8"];
//! let address = client_ip.resolve(proxy, |_| Some(lines.to_vec()))?;
//! assert_eq!(address.to_string(), "203.0.113.9");
//!
//! // The same header from a stranger says nothing.
//! let stranger = Some("198.51.100.1".parse()?);
//! let address = client_ip.resolve(stranger, |_| Some(lines.to_vec()))?;
//! assert_eq!(address.to_string(), "198.51.100.1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod forwarded;
mod networks;

use std::net::IpAddr;

use self::forwarded::{Hop, forwarded_hops, list_hops, parse_node};
pub use self::networks::Networks;
pub(crate) use self::networks::canonical;
use crate::{
    error::{ConfigError, Error},
    key::{IPV6_PREFIX, is_field_name},
};

/// The most bytes of forwarding headers that are read.
const MAX_BYTES: usize = 8 * 1024;

/// The most proxies a request may have passed.
const MAX_HOPS: usize = 32;

/// How the client's address is found. See the [module docs](self).
#[derive(Clone, Debug)]
pub struct ClientIp {
    proxies: Networks,
    header: Option<Header>,
    fallback: Option<IpAddr>,
    ipv6_prefix: u8,
}

/// The one header that is believed.
#[derive(Clone, Debug)]
enum Header {
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
    /// One address, as in `cf-connecting-ip`.
    Single(String),
}

impl Default for ClientIp {
    /// Nothing is trusted, and a connection without an address is an error.
    fn default() -> Self {
        Self {
            proxies: Networks::default(),
            header: None,
            fallback: None,
            ipv6_prefix: IPV6_PREFIX,
        }
    }
}

impl ClientIp {
    /// Trusts proxies of those networks (CIDR) to write that header:
    /// `x-forwarded-for`, `forwarded` (RFC 7239), or one that holds a single
    /// address, such as `cf-connecting-ip`.
    ///
    /// # Errors
    /// If there is no network, one is not in CIDR notation or holds everybody,
    /// or the header is no field name.
    pub fn with_proxies<'a>(
        self,
        networks: impl IntoIterator<Item = &'a str>,
        header: &str,
    ) -> Result<Self, ConfigError> {
        let proxies = Networks::parse(networks).map_err(|e| e.within("trusted_proxies"))?;
        if proxies.is_empty() {
            return Err(ConfigError::at(
                "trusted_proxies",
                "is empty although client_ip_header is set; \
                 list the networks of your proxies, or leave the header out",
            ));
        }
        if proxies.hold_everybody() {
            return Err(ConfigError::at(
                "trusted_proxies",
                "holds every address, so that each client could choose its own; \
                 list the networks of your proxies only",
            ));
        }
        Ok(Self { proxies, header: Some(parse_header(header)?), ..self })
    }

    /// The address that a connection without one counts as: a unix socket, or
    /// a framework's test client. Defaults to none, which is an error at the
    /// first such request.
    #[must_use]
    pub fn with_fallback(self, address: IpAddr) -> Self {
        Self { fallback: Some(address), ..self }
    }

    /// How many bits of an IPv6 address count as one client. Defaults to 64.
    ///
    /// # Errors
    /// If it is not 32 to 128.
    pub fn with_ipv6_prefix(self, ipv6_prefix: u8) -> Result<Self, ConfigError> {
        if !(32..=128).contains(&ipv6_prefix) {
            let message = format!("is {ipv6_prefix}; write 32 to 128");
            return Err(ConfigError::at("ipv6_prefix", message));
        }
        Ok(Self { ipv6_prefix, ..self })
    }

    /// The client's address: from its peer's, and from the lines of the header
    /// that is believed, which `lines` returns in their order; `None` where
    /// there may have been some that cannot be read.
    ///
    /// A trusted proxy that sends no such header asks for itself.
    ///
    /// # Errors
    /// [`Error::NoAddress`] without a peer or a fallback, and
    /// [`Error::Forwarding`] if a trusted proxy wrote what names no address.
    pub fn resolve<'a>(
        &self,
        peer: Option<IpAddr>,
        lines: impl FnOnce(&str) -> Option<Vec<&'a [u8]>>,
    ) -> Result<IpAddr, Error> {
        let peer = canonical(peer.or(self.fallback).ok_or(Error::NoAddress)?);
        let Some(header) = self.header.as_ref().filter(|_| self.proxies.contain(peer)) else {
            return Ok(peer);
        };
        let fail = |reason: &str| Error::Forwarding {
            header: header.name().to_owned(),
            reason: reason.to_owned(),
        };
        let lines = lines(header.name()).ok_or_else(|| fail("is not there, or cannot be read"))?;
        let size: usize = lines.iter().map(|line| line.len()).sum();
        if size > MAX_BYTES {
            return Err(fail("is longer than 8 KiB"));
        }
        let hops = match header {
            Header::XForwardedFor => list_hops(&lines),
            Header::Forwarded => forwarded_hops(&lines).map_err(fail)?,
            Header::Single(_) => match lines.as_slice() {
                [] => Vec::new(),
                [line] => vec![parse_node(line)],
                _ => return Err(fail("is there more than once")),
            },
        };
        self.walk(peer, &hops).map_err(fail)
    }

    /// From the nearest hop outwards to the first that is no proxy.
    fn walk(&self, peer: IpAddr, hops: &[Hop]) -> Result<IpAddr, &'static str> {
        let mut nearest = peer;
        for (passed, hop) in hops.iter().rev().enumerate() {
            if passed == MAX_HOPS {
                return Err("names more than 32 proxies");
            }
            match hop {
                // Going on to the left of it would believe the client.
                None => return Err("names no address where the client's should be"),
                Some(address) => nearest = *address,
            }
            if !self.proxies.contain(nearest) {
                break;
            }
        }
        Ok(nearest)
    }

    pub(crate) const fn proxies(&self) -> &Networks {
        &self.proxies
    }

    pub(crate) const fn ipv6_prefix(&self) -> u8 {
        self.ipv6_prefix
    }
}

impl Header {
    fn name(&self) -> &str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::Single(name) => name,
        }
    }
}

fn parse_header(name: &str) -> Result<Header, ConfigError> {
    match name.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Ok(Header::XForwardedFor),
        "forwarded" => Ok(Header::Forwarded),
        single if is_field_name(single) => Ok(Header::Single(single.to_owned())),
        other => Err(ConfigError::at(
            "client_ip_header",
            format!(
                "{other:?} is no header name; write \"x-forwarded-for\", \"forwarded\" or such"
            ),
        )),
    }
}

#[cfg(test)]
mod tests;

//! Which address a request comes from: [`ClientIp`].
//!
//! By default it is the peer's, whatever headers say: a client can write any of
//! them. Behind proxies, name their networks and the one header that they
//! write. The header is read only from a trusted peer, and is walked from the
//! right, where the nearest proxy appends; the first address that is no proxy
//! is the client. What a client wrote itself stands further left and is never
//! reached. (The rule is that of Adam Pritchard, "The perils of the 'real'
//! client IP", 2022.)
//!
//! ```
//! use limiter_core::ClientIp;
//!
//! let client_ip = ClientIp::default()
//!     .with_proxies(["10.0.0.0/8"], "x-forwarded-for")?;
//! let proxy = Some("10.0.0.7".parse()?);
//! let lines = [b"6.6.6.6, 203.0.113.9".as_slice(), b"10.0.0.8"];
//! let address = client_ip.resolve(proxy, |_| lines.to_vec())?;
//! assert_eq!(address.to_string(), "203.0.113.9");
//!
//! // The same header from a stranger is not read.
//! let stranger = Some("198.51.100.1".parse()?);
//! let address = client_ip.resolve(stranger, |_| lines.to_vec())?;
//! assert_eq!(address.to_string(), "198.51.100.1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where the proxies' addresses are not known, [how many](ClientIp::with_hops) is second best.
//!
//! # A trusted proxy without the header
//! A client may be able to have the header removed on its way
//! (`Connection: X-Forwarded-For`, which some proxies obey). Its request would
//! then count as the proxy's. So a trusted peer has to send the header: without
//! it the request is answered with 400, unless the peer is in the list `allow`,
//! as a health checker that connects by itself can be. (Never list a proxy in
//! `allow`.) Where requests of the proxies themselves are to be served, say so
//! [by a setting](ClientIp::with_optional_header): they count as the proxy's, all
//! together, and are limited and banned as those of any client.

mod counted_key;
mod display;
mod explained_source;
mod forwarding_header;
mod header_grammar;
mod misconfiguration;
mod trusted_hops;

use std::net::IpAddr;

use self::{
    forwarding_header::Header,
    trusted_hops::{MAX_HOPS, Trusted, count_back, walk},
};
pub(crate) use self::{misconfiguration::ProxyWarning, trusted_hops::wrong_hops};
use crate::{
    error::{ConfigError, Error},
    networks::{IPV6_PREFIX, Nat64Prefixes, Networks, canonical},
};

/// How configuration spells that everybody is trusted.
pub(crate) const EVERYONE: &str = "dangerously-trust-everyone";

/// How the client's address is found. See the [module docs](self).
#[derive(Clone, Debug)]
pub struct ClientIp {
    forwarding: Option<Forwarding>,
    is_header_required: bool,
    proxies: Networks,
    fallback: Option<IpAddr>,
    ipv6_prefix: u8,
    nat64_prefixes: Nat64Prefixes,
}

/// The one header that is believed, and from whom.
#[derive(Clone, Debug)]
struct Forwarding {
    header: Header,
    trusted: Trusted,
}

/// The client's address by a request's peer and header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Resolution {
    /// The client's address.
    Client(IpAddr),
    /// This trusted peer did not send the header.
    NoHeader(IpAddr),
}

impl Default for ClientIp {
    /// Nothing is trusted, and a connection without an address is an error.
    fn default() -> Self {
        Self {
            forwarding: None,
            is_header_required: true,
            proxies: Networks::default(),
            fallback: None,
            ipv6_prefix: IPV6_PREFIX,
            nat64_prefixes: Nat64Prefixes::default(),
        }
    }
}

impl ClientIp {
    /// Trusts proxies of those networks (CIDR) to write that header:
    /// `x-forwarded-for`, `forwarded` (RFC 7239), or one that holds a single
    /// address, such as `cf-connecting-ip`.
    ///
    /// # Errors
    /// If there is no network, one is not in CIDR notation, they hold everybody,
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
        if proxies.covers_all_addresses() {
            return Err(ConfigError::at(
                "trusted_proxies",
                format!(
                    "holds every address, so that each client could choose its own; list the \
                     networks of your proxies only, or, where nobody else can connect, write \
                     trusted_proxies = {EVERYONE:?}"
                ),
            ));
        }
        Ok(Self { proxies, ..self.trusting(Trusted::Proxies, header)? })
    }

    /// Trusts the last `hops` addresses that a request has passed to be
    /// proxies, wherever they are, each of which has appended the address before
    /// it to `x-forwarded-for` or `forwarded`. The first of them (as of the
    /// client) names the client.
    ///
    /// Only where the server cannot be reached past the proxies: whoever can
    /// connect to it otherwise chooses an address at will. Prefer networks.
    ///
    /// # Errors
    /// If it is not 1 to 32 hops, or the header is not one of the two.
    pub fn with_hops(self, hops: u8, header: &str) -> Result<Self, ConfigError> {
        if !(1..=MAX_HOPS).contains(&usize::from(hops)) {
            return Err(wrong_hops(hops.into()));
        }
        let client_ip = self.trusting(Trusted::Hops(hops), header)?;
        match &client_ip.forwarding {
            Some(Forwarding { header, .. }) if header.is_single() => Err(ConfigError::at(
                "trusted_proxies",
                "is a number, which goes with the headers \"x-forwarded-for\" and \"forwarded\"; \
                 list the networks of your proxies",
            )),
            _ => Ok(client_ip),
        }
    }

    /// Trusts everybody, and believes the leftmost address of that header, which
    /// the client itself may have written.
    ///
    /// Only where nobody but a proxy can connect that replaces the header, such
    /// as on a unix socket; anywhere else each client chooses its own address,
    /// and is never limited.
    ///
    /// # Errors
    /// If the header is no field name.
    pub fn dangerously_trusting_everyone(self, header: &str) -> Result<Self, ConfigError> {
        self.trusting(Trusted::Everyone, header)
    }

    fn trusting(self, trusted: Trusted, header: &str) -> Result<Self, ConfigError> {
        let forwarding = Some(Forwarding { header: Header::parse(header)?, trusted });
        Ok(Self { forwarding, proxies: Networks::default(), ..self })
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

    /// Sets the prefixes from which translators of one's own send (NAT64, SIIT),
    /// such as `2001:db8:64::/96`: an address of theirs is the IPv4 address in it
    /// (RFC 6052), so that the clients of a translator are not one client. Those of
    /// documented prefixes (`64:ff9b::/96`, 6to4, Teredo) are known without.
    /// Defaults to none.
    ///
    /// # Errors
    /// If one is no IPv6 network of 32, 40, 48, 56, 64 or 96 bits.
    pub fn with_nat64_prefixes<'a>(
        self,
        prefixes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ConfigError> {
        let prefixes = Nat64Prefixes::parse(prefixes);
        let nat64_prefixes = prefixes.map_err(|error| error.within("nat64_prefixes"))?;
        Ok(Self { nat64_prefixes, ..self })
    }

    /// Serves requests of a trusted peer without the header, as the peer's own.
    /// Defaults to an error: see [the module docs](self#a-trusted-proxy-without-the-header).
    #[must_use]
    pub fn with_optional_header(self) -> Self {
        Self { is_header_required: false, ..self }
    }

    /// Returns the client's address, from its peer's and from the lines of the
    /// header, which `lines` returns in their order.
    ///
    /// # Errors
    /// [`Error::NoAddress`] without a peer or a fallback, and
    /// [`Error::Forwarding`] if a trusted proxy did not send the header, or sent
    /// one that names no address.
    pub fn resolve<'a>(
        &self,
        peer: Option<IpAddr>,
        lines: impl FnOnce(&str) -> Vec<&'a [u8]>,
    ) -> Result<IpAddr, Error> {
        self.required(self.find(peer, lines)?)
    }

    /// As [`resolve`](Self::resolve), but a header that is not there is no error.
    #[inline]
    pub(crate) fn find<'a>(
        &self,
        peer: Option<IpAddr>,
        lines: impl FnOnce(&str) -> Vec<&'a [u8]>,
    ) -> Result<Resolution, Error> {
        let Some(peer) = peer.or(self.fallback) else { return Err(Error::NoAddress) };
        let peer = canonical(peer);
        let Some(forwarding) = self.forwarding.as_ref().filter(|own| self.trusts(own, peer)) else {
            return Ok(Resolution::Client(peer));
        };
        let lines = lines(forwarding.header.name());
        if lines.is_empty() {
            return Ok(Resolution::NoHeader(peer));
        }
        let client = forwarding.header.hops(&lines).and_then(|hops| match forwarding.trusted {
            Trusted::Proxies | Trusted::Everyone => {
                walk(&hops, peer, |hop| self.trusts(forwarding, hop))
            }
            Trusted::Hops(count) => count_back(&hops, count.into()),
        });
        client.map(Resolution::Client).map_err(|reason| self.fault(reason))
    }

    /// The address that a request counts as.
    #[inline]
    pub(crate) fn required(&self, resolution: Resolution) -> Result<IpAddr, Error> {
        match resolution {
            Resolution::Client(address) => Ok(address),
            Resolution::NoHeader(peer) if !self.is_header_required => Ok(peer),
            Resolution::NoHeader(_) => Err(self.fault(
                "is missing, although the peer is a trusted proxy; let the proxy send it, list a \
                 health checker in allow, or write client_ip_header_required = false",
            )),
        }
    }

    fn fault(&self, reason: &str) -> Error {
        let header = self.forwarding.as_ref().map_or("", |own| own.header.name()).to_owned();
        Error::Forwarding { header, reason: reason.to_owned() }
    }

    fn trusts(&self, forwarding: &Forwarding, peer: IpAddr) -> bool {
        forwarding.trusted != Trusted::Proxies || self.proxies.contains(peer)
    }

    pub(crate) const fn proxies(&self) -> &Networks {
        &self.proxies
    }
}

#[cfg(test)]
mod tests;

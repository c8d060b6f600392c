//! Finds the subjects that a request counts against: [`SubjectResolver`].
//!
//! In this order: an exempt endpoint passes; the lists `allow` and `block`
//! decide by the client's address; then each policy's key is made.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::{
    check::Subject,
    client_ip::{ClientIp, ProxyWarning, Resolution},
    error::{ConfigError, Error},
    exempt_endpoints::Exemptions,
    key::{Key, KeyPart, KeySpec},
    networks::Networks,
    policy::Policy,
    request::{RequestInfo, Subjects},
};

/// The part of a limiter's configuration that turns requests into subjects. It
/// is the same for all policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubjectResolver {
    pub(crate) client_ip: ClientIp,
    pub(crate) never_ban: Networks,
    pub(crate) allow: Networks,
    pub(crate) block: Networks,
    pub(crate) exempt: Exemptions,
    pub(crate) proxy_warning: Arc<ProxyWarning>,
}

/// The subjects that a request counts against.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// The subject of each policy.
    Subjects(Subjects),
    /// Nobody: its endpoint is exempt.
    ExemptEndpoint,
    /// Nobody: its address is in `allow`.
    AllowListed,
}

/// The list that an address is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Listed {
    Allowed,
    Blocked,
    Neither,
}

/// A network of a list.
pub(crate) struct ListedNetwork {
    pub(crate) list: &'static str,
    pub(crate) network: IpNet,
}

impl SubjectResolver {
    /// Checks that the lists fit together.
    pub(crate) fn checked(self) -> Result<Self, ConfigError> {
        if self.allow.covers_all_addresses() {
            let message = "holds every address, so that nobody is limited; write mode = \"off\" \
                           for that";
            return Err(ConfigError::at("allow", message));
        }
        match self.allow.common(&self.block) {
            None => Ok(self),
            Some(network) => {
                let message = format!("{network} is in block as well; leave one out");
                Err(ConfigError::at("allow", message))
            }
        }
    }

    /// Returns the subject of each policy, or why the request is not counted.
    /// `given` stands for the policies' own keys.
    #[inline]
    pub(crate) fn subjects(
        &self,
        policies: &[Policy],
        request: &dyn RequestInfo,
        given: Option<&Key>,
    ) -> Result<Resolved, Error> {
        if self.exempt.contains(request) {
            return Ok(Resolved::ExemptEndpoint);
        }
        let mut client = Client { resolver: self, request, address: None };
        if self.has_lists() && client.listed()? == Listed::Allowed {
            return Ok(Resolved::AllowListed);
        }
        if let Some(key) = given {
            let subjects = policies.iter().map(|_| self.subject(key.clone())).collect();
            return Ok(Resolved::Subjects(subjects));
        }
        let mut subjects = Subjects::new();
        for policy in policies {
            let key = client.key(policy.key())?;
            // The key holds an IPv6 network; the list may name one host.
            let spared = !self.never_ban.is_empty()
                && client.address.is_some_and(|address| self.never_ban.contains(address))
                && key.address().is_some();
            subjects.push(Subject::new(key).with_bannable(!spared));
        }
        Ok(Resolved::Subjects(subjects))
    }

    /// Returns the address of the request's client.
    pub(crate) fn client_ip(&self, request: &dyn RequestInfo) -> Result<IpAddr, Error> {
        Client { resolver: self, request, address: None }.address()
    }

    fn has_lists(&self) -> bool {
        !(self.allow.is_empty() && self.block.is_empty())
    }

    /// Looks an address up in `allow` and `block`; the smaller network counts.
    ///
    /// An address that stands for an IPv4 address is blocked as that is, too.
    /// It is not allowed as that: who routes it can choose the other bits.
    fn listed(&self, address: IpAddr) -> Listed {
        let embedded = self.client_ip.embedded_ipv4(address);
        let blocked_as = |address| self.block.longest_prefix(address);
        let allowed = self.allow.longest_prefix(address);
        match (allowed, blocked_as(address), embedded.and_then(blocked_as)) {
            (_, _, Some(_)) => Listed::Blocked,
            (allowed, blocked, None) if allowed > blocked => Listed::Allowed,
            (_, Some(_), None) => Listed::Blocked,
            (_, None, None) => Listed::Neither,
        }
    }

    /// Returns the list that has an address, and by which of its networks.
    pub(crate) fn listed_network(&self, address: IpAddr) -> Option<ListedNetwork> {
        let embedded = || self.block.containing(self.client_ip.embedded_ipv4(address)?);
        let (list, network) = match self.listed(address) {
            Listed::Allowed => ("allow", self.allow.containing(address)),
            Listed::Blocked => ("block", self.block.containing(address).or_else(embedded)),
            Listed::Neither => ("never_ban", self.never_ban.containing(address)),
        };
        network.map(|network| ListedNetwork { list, network })
    }

    /// The subject of a key that the caller has made.
    #[inline]
    pub(crate) fn subject(&self, key: Key) -> Subject {
        let bannable = self.is_bannable(&key);
        Subject::new(key).with_bannable(bannable)
    }

    /// Returns false if the key's network holds an address of `never_ban`.
    #[inline]
    pub(crate) fn is_bannable(&self, key: &Key) -> bool {
        self.never_ban.is_empty()
            || !key.network().is_some_and(|network| self.never_ban.overlap(network))
    }

    /// Returns true if the key's network holds a trusted proxy.
    pub(crate) fn is_proxy(&self, key: &Key) -> bool {
        key.network().is_some_and(|network| self.client_ip.proxies().overlap(network))
    }

    /// The key of an address, IPv6 cut as configured.
    #[inline]
    pub(crate) fn ip_key(&self, address: IpAddr) -> Key {
        self.client_ip.key(address)
    }
}

/// The client that sent a request. Its address is resolved when first needed.
struct Client<'a> {
    resolver: &'a SubjectResolver,
    request: &'a dyn RequestInfo,
    address: Option<IpAddr>,
}

impl Client<'_> {
    /// Looks the client up in the lists: by its address, or, where a proxy's
    /// header is not there, by the peer's. So a health checker that is in
    /// `trusted_proxies` and connects by itself can be allowed.
    fn listed(&mut self) -> Result<Listed, Error> {
        let listed = match self.resolve()? {
            Resolution::Client(address) => {
                self.address = Some(address);
                self.resolver.listed(address)
            }
            Resolution::NoHeader(peer) => self.resolver.listed(peer),
        };
        if listed == Listed::Blocked { Err(Error::Blocked) } else { Ok(listed) }
    }

    #[inline]
    fn resolve(&self) -> Result<Resolution, Error> {
        let SubjectResolver { client_ip, proxy_warning, .. } = self.resolver;
        let request = self.request;
        let peer = request.peer_address();
        proxy_warning.observe(client_ip, peer, |name| !request.header_lines(name).is_empty());
        client_ip.find(peer, |name| request.header_lines(name))
    }

    #[inline]
    fn address(&mut self) -> Result<IpAddr, Error> {
        if let Some(address) = self.address {
            return Ok(address);
        }
        let address = self.resolver.client_ip.required(self.resolve()?)?;
        self.address = Some(address);
        Ok(address)
    }

    #[inline]
    fn address_key(&mut self) -> Result<Key, Error> {
        self.address().map(|address| self.resolver.ip_key(address))
    }

    #[inline]
    fn key(&mut self, spec: &KeySpec) -> Result<Key, Error> {
        let [first, others @ ..] = spec.parts() else { return Ok(Key::global()) };
        let first = self.key_part(first)?;
        others.iter().try_fold(first, |key, part| Ok(key.and(self.key_part(part)?)))
    }

    #[inline]
    fn key_part(&mut self, part: &KeyPart) -> Result<Key, Error> {
        match part {
            KeyPart::Ip => self.address_key(),
            KeyPart::Global => Ok(Key::global()),
            KeyPart::User => match self.request.user() {
                Some(user) => Ok(Key::user(&user)),
                None => self.address_key(),
            },
            KeyPart::Header(name) => match self.request.header_lines(name).first() {
                Some(value) if !value.is_empty() => Ok(Key::header(name, value)),
                _ => self.address_key(),
            },
            // All paths that match no route are one endpoint: a scanner's are many.
            KeyPart::Endpoint => Ok(match self.request.endpoint() {
                Some(pattern) => Key::endpoint(self.request.method(), &pattern),
                None => Key::endpoint("*", "unmatched"),
            }),
        }
    }
}

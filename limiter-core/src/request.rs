//! From a request to its subjects: what adapters tell ([`RequestInfo`]), and
//! what the core makes of it.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use smallvec::SmallVec;

use crate::{
    client_ip::{ClientIp, Hints},
    error::{ConfigError, Error},
    key::{Key, KeyPart, KeySpec},
    networks::Networks,
    policy::Policy,
    store::Subject,
};

/// Whom each policy of a set counts, in the set's order.
pub type Subjects = SmallVec<[Subject; 1]>;

/// What a framework's adapter tells of a request. It holds no rule: nothing
/// here is resolved, believed or normalised.
pub trait RequestInfo {
    /// The method, in upper case.
    fn method(&self) -> &str;

    /// The address of the connection's other end, if it has one; never one
    /// taken from a header.
    fn peer_address(&self) -> Option<IpAddr>;

    /// The values of every line of that header, in order.
    fn header_lines(&self, name: &str) -> Vec<&[u8]>;

    /// Whether [`header_lines`](Self::header_lines) has every line. A framework
    /// that drops unreadable ones cannot tell a proxy that sent no forwarding
    /// header from a client that spoilt it, so there its absence is an error.
    fn has_every_line(&self) -> bool {
        true
    }

    /// Whom the application's authentication found the request to be from.
    fn user(&self) -> Option<Cow<'_, str>>;

    /// The pattern of the route that was matched, if one was.
    fn endpoint(&self) -> Option<Cow<'_, str>>;
}

/// Whether that is a CORS preflight, by the Fetch standard (section 3.2.2).
/// Browsers send it by themselves, so it does not count unless asked for.
pub fn is_preflight(request: &dyn RequestInfo) -> bool {
    let has = |name| !request.header_lines(name).is_empty();
    request.method() == "OPTIONS" && has("origin") && has("access-control-request-method")
}

/// How requests become subjects: the part of a limiter's configuration that is
/// the same for all policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubjectResolver {
    pub(crate) client_ip: ClientIp,
    pub(crate) never_ban: Networks,
    pub(crate) allow: Networks,
    pub(crate) block: Networks,
    pub(crate) hints: Arc<Hints>,
}

impl SubjectResolver {
    /// Whether its lists fit together.
    pub(crate) fn checked(self) -> Result<Self, ConfigError> {
        match self.allow.shared(&self.block) {
            None => Ok(self),
            Some(network) => {
                let message = format!("{network} is in block as well; leave one out");
                Err(ConfigError::at("allow", message))
            }
        }
    }

    /// Whom each policy counts; `None` for an address that is not counted.
    /// `given` stands for the policies' own keys.
    pub(crate) fn subjects(
        &self,
        policies: &[Policy],
        request: &dyn RequestInfo,
        given: Option<&Key>,
    ) -> Result<Option<Subjects>, Error> {
        let mut address = Address { identity: self, request, found: None };
        if !self.admits(&mut address)? {
            return Ok(None);
        }
        if let Some(key) = given {
            return Ok(Some(policies.iter().map(|_| self.subject(key.clone())).collect()));
        }
        let mut subjects = Subjects::new();
        for policy in policies {
            let key = key(policy.key(), request, &mut address)?;
            // The key holds an IPv6 network; the lists may name one host.
            let spared =
                address.found.is_some_and(|host| self.spares_host(host) && key.address().is_some());
            subjects.push(Subject { key, bannable: !spared });
        }
        Ok(Some(subjects))
    }

    /// Whether requests of that address are counted, and not blocked. The
    /// address is looked for only if there are lists.
    fn admits(&self, address: &mut Address<'_>) -> Result<bool, Error> {
        if self.allow.is_empty() && self.block.is_empty() {
            return Ok(true);
        }
        let host = address.find()?;
        match (self.allow.longest_prefix(host), self.block.longest_prefix(host)) {
            (allowed, blocked) if allowed > blocked => Ok(false),
            (_, Some(_)) => Err(Error::Blocked),
            (_, None) => Ok(true),
        }
    }

    /// A subject of which the key alone is known. Addresses of proxies and of
    /// `never_ban` are never banned, nor is a network that holds one.
    pub(crate) fn subject(&self, key: Key) -> Subject {
        let spared = key.network().is_some_and(|network| {
            self.never_ban.overlap(network) || self.client_ip.proxies().overlap(network)
        });
        Subject { key, bannable: !spared }
    }

    fn spares_host(&self, host: IpAddr) -> bool {
        self.never_ban.contains(host) || self.client_ip.proxies().contains(host)
    }

    pub(crate) fn ip_key(&self, address: IpAddr) -> Key {
        Key::ip_prefix(address, self.client_ip.ipv6_prefix())
    }
}

/// The client's address, resolved when first needed.
struct Address<'a> {
    identity: &'a SubjectResolver,
    request: &'a dyn RequestInfo,
    found: Option<IpAddr>,
}

impl Address<'_> {
    fn key(&mut self) -> Result<Key, Error> {
        self.find().map(|address| self.identity.ip_key(address))
    }

    fn find(&mut self) -> Result<IpAddr, Error> {
        if let Some(found) = self.found {
            return Ok(found);
        }
        let SubjectResolver { client_ip, hints, .. } = self.identity;
        let request = self.request;
        let peer = request.peer_address();
        hints.look(client_ip, peer, |name| !request.header_lines(name).is_empty());
        let address = client_ip.resolve(peer, |name| {
            let lines = request.header_lines(name);
            (!lines.is_empty() || request.has_every_line()).then_some(lines)
        })?;
        self.found = Some(address);
        Ok(address)
    }
}

fn key(spec: &KeySpec, request: &dyn RequestInfo, address: &mut Address<'_>) -> Result<Key, Error> {
    let [first, others @ ..] = spec.parts() else { return Ok(Key::global()) };
    let first = key_part(first, request, address)?;
    others.iter().try_fold(first, |key, part| Ok(key.and(key_part(part, request, address)?)))
}

fn key_part(
    part: &KeyPart,
    request: &dyn RequestInfo,
    address: &mut Address<'_>,
) -> Result<Key, Error> {
    match part {
        KeyPart::Ip => address.key(),
        KeyPart::Global => Ok(Key::global()),
        KeyPart::User => match request.user() {
            Some(user) => Ok(Key::user(&user)),
            None => address.key(),
        },
        KeyPart::Header(name) => match request.header_lines(name).first() {
            Some(value) if !value.is_empty() => Ok(Key::header(name, value)),
            _ => address.key(),
        },
        // Whatever matches no route is one endpoint: a scanner's paths are many.
        KeyPart::Endpoint => Ok(match request.endpoint() {
            Some(pattern) => Key::endpoint(request.method(), &pattern),
            None => Key::endpoint("*", "unmatched"),
        }),
    }
}

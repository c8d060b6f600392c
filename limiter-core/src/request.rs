//! From a request to its subjects: what adapters tell ([`RequestFacts`]), and
//! what the core makes of it.

use std::{borrow::Cow, net::IpAddr};

use smallvec::SmallVec;

use crate::{
    client_ip::{ClientIp, Networks},
    error::Error,
    key::{Key, KeyPart, KeySpec},
    policy::Policy,
    store::Subject,
};

/// Whom each policy of a set counts, in the set's order.
pub type Subjects = SmallVec<[Subject; 1]>;

/// What a framework's adapter tells of a request. It holds no rule: nothing
/// here is resolved, believed or normalised.
pub trait RequestFacts {
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
pub fn is_preflight(request: &dyn RequestFacts) -> bool {
    let has = |name| !request.header_lines(name).is_empty();
    request.method() == "OPTIONS" && has("origin") && has("access-control-request-method")
}

/// How requests become subjects: the part of a limiter's configuration that is
/// the same for all policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) client_ip: ClientIp,
    pub(crate) never_ban: Networks,
}

impl Identity {
    pub(crate) fn subjects(
        &self,
        policies: &[Policy],
        request: &dyn RequestFacts,
    ) -> Result<Subjects, Error> {
        let mut address = Address { identity: self, request, found: None };
        policies
            .iter()
            .map(|policy| {
                let key = key(policy.key(), request, &mut address)?;
                // The key holds an IPv6 network; the lists may name one host.
                let host = address.found.as_ref().map(|(host, _)| *host);
                let spared = key.address().and(host).is_some_and(|host| self.spares_host(host));
                Ok(Subject { key, bannable: !spared })
            })
            .collect()
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
        self.never_ban.contain(host) || self.client_ip.proxies().contain(host)
    }

    pub(crate) fn ip_key(&self, address: IpAddr) -> Key {
        Key::ip_prefix(address, self.client_ip.ipv6_prefix())
    }
}

/// The client's address, resolved when first needed.
struct Address<'a> {
    identity: &'a Identity,
    request: &'a dyn RequestFacts,
    found: Option<(IpAddr, Key)>,
}

impl Address<'_> {
    fn key(&mut self) -> Result<Key, Error> {
        if let Some((_, key)) = &self.found {
            return Ok(key.clone());
        }
        let request = self.request;
        let client_ip = &self.identity.client_ip;
        let address = client_ip.resolve(request.peer_address(), |name| {
            let lines = request.header_lines(name);
            (!lines.is_empty() || request.has_every_line()).then_some(lines)
        })?;
        let key = self.identity.ip_key(address);
        self.found = Some((address, key.clone()));
        Ok(key)
    }
}

fn key(
    spec: &KeySpec,
    request: &dyn RequestFacts,
    address: &mut Address<'_>,
) -> Result<Key, Error> {
    let mut parts = spec.parts().iter().map(|part| key_part(part, request, address));
    let first = parts.next().unwrap_or_else(|| Ok(Key::global()))?;
    parts.try_fold(first, |key, part| Ok(key.and(part?)))
}

fn key_part(
    part: &KeyPart,
    request: &dyn RequestFacts,
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

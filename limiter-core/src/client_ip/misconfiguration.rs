//! What a limiter notices of proxies that nobody has told it about, and says
//! once: the commonest mistake is that all clients count as one.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{ClientIp, Forwarding, canonical};

/// Headers by which proxies tell whom they speak for.
const FORWARDING: [&str; 6] = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "fastly-client-ip",
];

/// How many requests are looked at, from the start.
const LOOKS: u32 = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Hints(AtomicU32);

impl Hints {
    /// Looks at a request, if none has been said anything of yet. `has` says
    /// whether it has a line of that header.
    pub(crate) fn look(
        &self,
        client_ip: &ClientIp,
        peer: Option<IpAddr>,
        has: impl Fn(&str) -> bool,
    ) {
        if self.0.load(Ordering::Relaxed) >= LOOKS {
            return;
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        if let Some(hint) = client_ip.hint(peer, has)
            && self.0.swap(LOOKS, Ordering::Relaxed) < LOOKS
        {
            tracing::warn!("{hint}");
        }
    }
}

impl ClientIp {
    /// What is to be said of a request from that peer.
    pub(super) fn hint(&self, peer: Option<IpAddr>, has: impl Fn(&str) -> bool) -> Option<String> {
        let seen = FORWARDING.into_iter().find(|name| has(name))?;
        let Some(peer) = peer.or(self.fallback).map(canonical) else {
            return Some(format!(
                "requests without an address come with {seen}; if they come of a proxy, write \
                 fallback_address = \"127.0.0.1\", trusted_proxies = [\"127.0.0.1\"] and \
                 client_ip_header = {seen:?}"
            ));
        };
        match &self.forwarding {
            None => Some(format!(
                "{peer} sends {seen}, but no proxy is trusted: all its clients count as one; if it \
                 is your proxy, write trusted_proxies = [\"{peer}\"] and client_ip_header = {seen:?}"
            )),
            // Strangers may send what they like.
            Some(forwarding) if !self.trusts(forwarding, peer) => is_private(peer).then(|| {
                format!(
                    "{peer} sends {seen}, but is not in trusted_proxies: all its clients count as \
                     one; if it is your proxy, add it"
                )
            }),
            Some(Forwarding { header, .. }) => (!has(header.name())).then(|| {
                format!(
                    "the trusted proxy {peer} sends {seen} and no {}; if that is where it names \
                     its clients, write client_ip_header = {seen:?}",
                    header.name()
                )
            }),
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

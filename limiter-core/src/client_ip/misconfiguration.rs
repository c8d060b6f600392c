//! The warning about a proxy that is not configured: [`ProxyWarning`]. The
//! commonest mistake is that all clients count as one.

use std::{
    net::IpAddr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use super::{ClientIp, Forwarding, canonical};
use crate::nearest_name::edit_distance;

/// Headers in which proxies name the client.
const FORWARDING: [&str; 8] = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "x-azure-clientip",
];

/// How many requests are observed, from the start.
const OBSERVED: u32 = 1_000;

/// After so many requests, a peer that was the only one is taken for a proxy,
/// though its address is public.
const ONLY_PEER_AFTER: u32 = 100;

/// Observes the first requests and logs one warning about their peer.
#[derive(Debug, Default)]
pub(crate) struct ProxyWarning {
    observed: AtomicU32,
    first_peer: OnceLock<Option<IpAddr>>,
    has_other_peers: AtomicBool,
}

impl ProxyWarning {
    /// Observes a request, unless the warning was logged or enough requests were
    /// observed. `has` returns whether the request has a line of that header.
    #[inline]
    pub(crate) fn observe(
        &self,
        client_ip: &ClientIp,
        peer: Option<IpAddr>,
        has: impl Fn(&str) -> bool,
    ) {
        if self.observed.load(Ordering::Relaxed) < OBSERVED {
            self.observe_early(client_ip, peer, has);
        }
    }

    #[cold]
    fn observe_early(
        &self,
        client_ip: &ClientIp,
        peer: Option<IpAddr>,
        has: impl Fn(&str) -> bool,
    ) {
        let before = self.observed.fetch_add(1, Ordering::Relaxed);
        if *self.first_peer.get_or_init(|| peer) != peer {
            self.has_other_peers.store(true, Ordering::Relaxed);
        }
        let is_only = before >= ONLY_PEER_AFTER && !self.has_other_peers.load(Ordering::Relaxed);
        if let Some(warning) = client_ip.warning(peer, is_only, has)
            && self.observed.swap(OBSERVED, Ordering::Relaxed) < OBSERVED
        {
            tracing::warn!("{warning}");
        }
    }
}

impl ClientIp {
    /// The warning about a header whose name is nearly that of another, such as
    /// `x-forward-for`: one of an application's own is no mistake.
    pub(crate) fn misspelt_header(&self) -> Option<String> {
        let name = self.forwarding.as_ref()?.header.name();
        if FORWARDING.contains(&name) {
            return None;
        }
        let known = FORWARDING.into_iter().find(|known| edit_distance(name, known) <= 2)?;
        Some(format!("client_ip_header is {name:?}; if {known:?} is meant, write that"))
    }

    /// The warning that a request from that peer is reason for. `is_only_peer`
    /// if all of many requests came from it.
    pub(super) fn warning(
        &self,
        peer: Option<IpAddr>,
        is_only_peer: bool,
        has: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let seen = FORWARDING.into_iter().find(|name| has(name))?;
        let Some(peer) = peer.or(self.fallback).map(canonical) else {
            return Some(format!(
                "requests without an address come with {seen}; if they come from a proxy, write \
                 fallback_address = \"127.0.0.1\", trusted_proxies = [\"127.0.0.1\"] and \
                 client_ip_header = {seen:?}"
            ));
        };
        // Strangers may send what they like, and none should be taken for a proxy;
        // all requests come from a proxy alone.
        let may_be_proxy = is_private(peer) || is_only_peer;
        match &self.forwarding {
            None => may_be_proxy.then(|| {
                format!(
                    "{peer} sends {seen}, but no proxy is trusted: all its clients count as one; \
                     if it is your proxy, write trusted_proxies = [\"{peer}\"] and \
                     client_ip_header = {seen:?}"
                )
            }),
            Some(forwarding) if !self.trusts(forwarding, peer) => may_be_proxy.then(|| {
                format!(
                    "{peer} sends {seen}, but is not in trusted_proxies: all its clients count \
                     as one; if it is your proxy, add it"
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

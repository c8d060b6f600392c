//! Where the address of a client is from, for explanations.

use std::net::IpAddr;

use super::{ClientIp, Forwarding};
use crate::networks::canonical;

impl ClientIp {
    /// Returns where the address of a client is looked for: the name of the header if the
    /// peer is trusted to write it, else `peer`, or the setting that stands for one.
    pub(crate) fn found_in(&self, peer: Option<IpAddr>) -> &str {
        let trusted = |own: &&Forwarding| {
            peer.or(self.fallback).is_some_and(|peer| self.trusts(own, canonical(peer)))
        };
        match (self.forwarding.as_ref().filter(trusted), peer) {
            (Some(forwarding), _) => forwarding.header.name(),
            (None, Some(_)) => "peer",
            (None, None) => "fallback_address",
        }
    }
}

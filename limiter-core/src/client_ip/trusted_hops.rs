//! From the hops that a header names to the client's.

use std::net::IpAddr;

use super::header_grammar::Hop;
use crate::error::ConfigError;

/// The most proxies a request may have passed.
pub(super) const MAX_HOPS: usize = 32;

const NOBODY: &str = "names no address where the client's should be";

/// Whose word is taken for the hop before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trusted {
    /// Proxies of the networks that [`ClientIp`](super::ClientIp) has.
    Proxies,
    /// A number of proxies, at any address.
    Hops(u8),
    /// Whoever connects, and whoever is named.
    Everyone,
}

/// The error of a number of proxies that is none.
pub(crate) fn wrong_hops(hops: u64) -> ConfigError {
    let message = format!("is {hops}; write how many proxies there are, 1 to {MAX_HOPS}");
    ConfigError::at("trusted_proxies", message)
}

/// Walks from the nearest hop outwards to the first that is no proxy.
pub(super) fn walk(
    hops: &[Hop],
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Result<IpAddr, &'static str> {
    let mut nearest = peer;
    for (passed, hop) in hops.iter().rev().enumerate() {
        if passed == MAX_HOPS {
            return Err("names more than 32 proxies");
        }
        // Going on to the left of a hop that names nobody would trust the client.
        nearest = hop.ok_or(NOBODY)?;
        if !is_trusted(nearest) {
            break;
        }
    }
    Ok(nearest)
}

/// The hop that the first of so many proxies has appended.
pub(super) fn count_back(hops: &[Hop], count: usize) -> Result<IpAddr, &'static str> {
    let at = hops.len().checked_sub(count).ok_or("names fewer addresses than there are proxies")?;
    hops[at].ok_or(NOBODY)
}

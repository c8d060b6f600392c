//! From the hops that a header names to the client's.

use std::net::IpAddr;

use super::{MAX_HOPS, forwarded::Hop};

const NOBODY: &str = "names no address where the client's should be";

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

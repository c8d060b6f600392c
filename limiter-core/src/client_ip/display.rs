//! How a client's address is found, in a few words: for the line at the start.

use std::fmt;

use super::{ClientIp, Forwarding, Trusted};

impl fmt::Display for ClientIp {
    /// Writes in a few words how an address is found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.forwarding {
            None => f.write_str("peer address"),
            Some(Forwarding { header, trusted: Trusted::Proxies }) => {
                write!(f, "{} of trusted proxies, else peer address", header.name())
            }
            Some(Forwarding { header, trusted: Trusted::Hops(hops) }) => {
                write!(f, "{}, {hops} hops back", header.name())
            }
            Some(Forwarding { header, trusted: Trusted::Everyone }) => {
                write!(f, "{} of everybody", header.name())
            }
        }
    }
}

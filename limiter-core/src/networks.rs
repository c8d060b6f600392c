//! Networks in CIDR notation, compared by bits.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::error::ConfigError;

/// How many bits of an IPv6 address count: a /64 is one customer's network.
pub const IPV6_PREFIX: u8 = 64;

/// The IPv4 address that an IPv4-mapped IPv6 address is; others as they are.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    // Not `to_canonical`, whose name hides that it is exactly this.
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// A list of networks, such as `10.0.0.0/8`, `2001:db8::/32` or one address.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads networks in CIDR notation; an address alone is a network of one.
    ///
    /// # Errors
    /// If one is neither, or has bits set behind its prefix.
    pub fn parse<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        networks.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them holds that address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.is_empty() {
            return false;
        }
        let address = canonical(address);
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether one of them holds part of that network, or all of it.
    pub(crate) fn overlap(&self, network: IpNet) -> bool {
        self.0.iter().any(|own| own.contains(&network) || network.contains(own))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every address of a family is in one of them.
    pub(super) fn covers_all_addresses(&self) -> bool {
        IpNet::aggregate(&self.0).iter().any(|network| network.prefix_len() == 0)
    }

    /// The prefix of the smallest network that holds that address.
    pub(crate) fn longest_prefix(&self, address: IpAddr) -> Option<u8> {
        let address = canonical(address);
        let holding = self.0.iter().filter(|network| network.contains(&address));
        holding.map(IpNet::prefix_len).max()
    }

    /// One that is in both lists.
    pub(crate) fn shared<'a>(&'a self, other: &Self) -> Option<&'a IpNet> {
        self.0.iter().find(|network| other.0.contains(network))
    }
}

fn parse(text: &str) -> Result<IpNet, ConfigError> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            ConfigError::new(format!("{text:?} is no network; write \"10.0.0.0/8\" or an address"))
        })?,
    };
    if network.trunc() != network {
        return Err(ConfigError::new(format!(
            "{text:?} has bits set behind its prefix; write \"{}\"",
            network.trunc()
        )));
    }
    Ok(unmap(network))
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn unmap(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let mapped = v6.addr().to_ipv4_mapped();
    let short = v6.prefix_len().checked_sub(96);
    match mapped.zip(short).map(|(address, prefix)| Ipv4Net::new(address, prefix)) {
        Some(Ok(v4)) => v4.into(),
        _ => network,
    }
}

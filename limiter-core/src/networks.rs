//! Lists of networks in CIDR notation: [`Networks`], and which IPv4 address an
//! IPv6 address stands for.

mod embedded_ipv4;
mod list_file;
mod range_table;

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};

pub(crate) use self::embedded_ipv4::{Nat64Prefixes, embedded_ipv4};
use self::range_table::RangeTable;
use crate::error::{ConfigError, from_texts};

/// How many bits of an IPv6 address count: a /64 is one customer's network.
pub const IPV6_PREFIX: u8 = 64;

/// The IPv4 address that an IPv4-mapped IPv6 address is; others as they are.
#[inline]
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    // Not `to_canonical`, whose name hides that it is exactly this.
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// A list of networks, such as `10.0.0.0/8`, `2001:db8::/32` or one address.
///
/// Lists may be long: an address is looked up by an index and a short binary
/// search, in about 65 (IPv4) or 80 (IPv6) instructions among 100,000 networks.
///
/// ```
/// use limiter_core::Networks;
///
/// let networks: Networks = "10.0.0.0/8, 2001:db8::/32".parse()?;
/// assert!(networks.contains("10.1.2.3".parse()?));
/// assert!(!networks.contains("192.0.2.1".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Networks {
    /// Sorted, none twice.
    networks: Vec<IpNet>,
    v4: RangeTable<u32>,
    v6: RangeTable<u128>,
}

impl Networks {
    /// Reads networks in CIDR notation; an address alone is a network of one.
    ///
    /// # Errors
    /// If one is neither, or has bits set behind its prefix.
    pub fn parse<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        networks.into_iter().map(parse).collect::<Result<_, _>>().map(Self::of)
    }

    fn of(mut networks: Vec<IpNet>) -> Self {
        networks.sort_unstable_by_key(sort_key);
        networks.dedup();
        networks.shrink_to_fit();
        let v4 = networks.iter().filter(|network| matches!(network, IpNet::V4(_)));
        let v6 = networks.iter().filter(|network| matches!(network, IpNet::V6(_)));
        Self { v4: RangeTable::new(v4), v6: RangeTable::new(v6), networks }
    }

    /// Returns true if one of the networks holds that address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.longest_prefix(address).is_some()
    }

    /// Returns how many networks there are, each counted once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// Returns the networks of both lists.
    #[cfg(feature = "config")]
    pub(crate) fn merged(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        let Self { mut networks, .. } = self;
        networks.extend(other.networks);
        Self::of(networks)
    }

    /// Returns true if there is no network.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Returns true if one of the networks holds part of that network, or all of it.
    pub(crate) fn overlap(&self, network: IpNet) -> bool {
        match network {
            IpNet::V4(v4) => self.v4.overlap(v4.network().into(), v4.broadcast().into()),
            IpNet::V6(v6) => self.v6.overlap(v6.network().into(), v6.broadcast().into()),
        }
    }

    /// Returns true if the networks hold every address of a family.
    pub(crate) fn covers_all_addresses(&self) -> bool {
        IpNet::aggregate(&self.networks).iter().any(|network| network.prefix_len() == 0)
    }

    /// The prefix of the smallest network that holds that address.
    pub(crate) fn longest_prefix(&self, address: IpAddr) -> Option<u8> {
        if self.is_empty() {
            return None;
        }
        match canonical(address) {
            IpAddr::V4(v4) => self.v4.longest_prefix(v4.into()),
            IpAddr::V6(v6) => self.v6.longest_prefix(v6.into()),
        }
    }

    /// The smallest network that holds that address.
    pub(crate) fn containing(&self, address: IpAddr) -> Option<IpNet> {
        let network = IpNet::new(canonical(address), self.longest_prefix(address)?).ok()?;
        Some(network.trunc())
    }

    /// A network that is in both lists.
    pub(crate) fn common<'a>(&'a self, other: &Self) -> Option<&'a IpNet> {
        let in_other = |network: &&IpNet| {
            other.networks.binary_search_by_key(&sort_key(network), sort_key).is_ok()
        };
        self.networks.iter().find(in_other)
    }
}

/// Families apart, then by the first address, larger networks first.
fn sort_key(network: &IpNet) -> (IpAddr, u8) {
    (network.addr(), network.prefix_len())
}

impl FromStr for Networks {
    type Err = ConfigError;

    /// Reads networks with commas between.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text.split(',').map(str::trim).filter(|part| !part.is_empty()))
    }
}

from_texts!(Networks);

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.networks).finish()
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

#[cfg(test)]
mod tests;

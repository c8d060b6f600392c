//! The keys at the root.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use super::{Config, policy::PolicyConfig};
use crate::{
    client_ip::{ClientIp, Networks},
    error::ConfigError,
    limiter::StoreChoice,
    policy::{Policy, check_together},
    request::Identity,
    store::{MAX_BANS, MAX_ENTRIES, MAX_KEYS},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    #[serde(default)]
    store: StoreName,
    max_keys: Option<u64>,
    max_bans: Option<u64>,
    #[serde(default)]
    trusted_proxies: Vec<String>,
    client_ip_header: Option<String>,
    #[serde(default)]
    never_ban: Vec<String>,
    ipv6_prefix: Option<u8>,
    fallback_address: Option<String>,
    #[serde(default)]
    policies: BTreeMap<String, PolicyConfig>,
}

/// The scheme of a store: all that may be told of it, since what follows may
/// hold a password.
#[derive(Default, Deserialize)]
#[serde(try_from = "String")]
struct StoreName;

impl TryFrom<String> for StoreName {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        if text == "memory" {
            return Ok(Self);
        }
        let scheme = text.split("://").next().unwrap_or_default();
        Err(ConfigError::new(format!(
            "there is no store {scheme:?} in this version; write \"memory\""
        )))
    }
}

impl TryFrom<Root> for Config {
    type Error = ConfigError;

    fn try_from(root: Root) -> Result<Self, ConfigError> {
        let identity = root.identity()?;
        let StoreName = root.store;
        let store = StoreChoice::Memory {
            max_keys: entries("max_keys", root.max_keys, MAX_KEYS)?,
            max_bans: entries("max_bans", root.max_bans, MAX_BANS)?,
        };
        let policies: Result<Vec<Policy>, ConfigError> = root
            .policies
            .into_iter()
            .map(|(name, policy)| policy.named(&name).map_err(|error| error.within("policies")))
            .collect();
        let policies = policies?;
        check_together(&policies)?;
        Ok(Self { store, identity, policies })
    }
}

/// A cap of the memory store.
fn entries(name: &str, given: Option<u64>, default: usize) -> Result<usize, ConfigError> {
    let Some(given) = given else { return Ok(default) };
    let fits = usize::try_from(given).ok().filter(|entries| (1..=MAX_ENTRIES).contains(entries));
    fits.ok_or_else(|| ConfigError::at(name, format!("is {given}; write 1 to {MAX_ENTRIES}")))
}

impl Root {
    fn identity(&self) -> Result<Identity, ConfigError> {
        let proxies = || self.trusted_proxies.iter().map(String::as_str);
        let mut client_ip = match &self.client_ip_header {
            Some(header) => ClientIp::default().with_proxies(proxies(), header)?,
            None if self.trusted_proxies.is_empty() => ClientIp::default(),
            None => {
                return Err(ConfigError::new(
                    "trusted_proxies is set but client_ip_header is not; \
                     write the one header that your proxies set, such as \"x-forwarded-for\"",
                ));
            }
        };
        if let Some(prefix) = self.ipv6_prefix {
            client_ip = client_ip.with_ipv6_prefix(prefix)?;
        }
        if let Some(text) = &self.fallback_address {
            let address: IpAddr = text.parse().map_err(|_| {
                let message =
                    format!("{text:?} is no IP address; write one, such as \"127.0.0.1\"");
                ConfigError::at("fallback_address", message)
            })?;
            client_ip = client_ip.with_fallback(address);
        }
        let never_ban = self.never_ban.iter().map(String::as_str);
        let never_ban = Networks::parse(never_ban).map_err(|error| error.within("never_ban"))?;
        Ok(Identity { client_ip, never_ban })
    }
}

//! The keys at the root.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use super::{Config, policy::PolicyConfig, text::Length};
use crate::{
    client_ip::{ClientIp, Networks},
    error::ConfigError,
    policy::{Policy, check_name, check_together},
    request::Identity,
    store::choice::{Caps, HAS_MEMORY, HAS_REDIS, MAX_ENTRIES, Shared, StoreChoice, not_compiled},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    #[serde(default)]
    store: StoreUrl,
    prefix: Option<String>,
    key_secret: Option<String>,
    deadline: Option<Length>,
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

/// Which store. Of an URL only the scheme is ever told: what follows may hold a
/// password.
#[derive(Default, Deserialize)]
#[serde(try_from = "String")]
enum StoreUrl {
    #[default]
    Memory,
    Redis(String),
}

impl TryFrom<String> for StoreUrl {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        let scheme = text.split("://").next().unwrap_or_default();
        match scheme {
            "memory" if text == "memory" && !HAS_MEMORY => Err(not_compiled("memory")),
            "memory" if text == "memory" => Ok(Self::Memory),
            "redis" if !HAS_REDIS => Err(not_compiled("redis")),
            "redis" => Ok(Self::Redis(text)),
            scheme => Err(ConfigError::new(format!(
                "there is no store {scheme:?} in this version; \
                 write \"memory\" or \"redis://host:port/database\""
            ))),
        }
    }
}

impl TryFrom<Root> for Config {
    type Error = ConfigError;

    fn try_from(root: Root) -> Result<Self, ConfigError> {
        let identity = root.identity()?;
        let store = root.store()?;
        let default = Caps::default();
        let caps = Caps {
            keys: entries("max_keys", root.max_keys, default.keys)?,
            bans: entries("max_bans", root.max_bans, default.bans)?,
        };
        let policies: Result<Vec<Policy>, ConfigError> = root
            .policies
            .into_iter()
            .map(|(name, policy)| policy.named(&name).map_err(|error| error.within("policies")))
            .collect();
        let policies = policies?;
        check_together(&policies)?;
        Ok(Self { store, caps, identity, policies, place: String::new() })
    }
}

/// A cap of the memory store.
fn entries(name: &str, given: Option<u64>, default: usize) -> Result<usize, ConfigError> {
    let Some(given) = given else { return Ok(default) };
    let fits = usize::try_from(given).ok().filter(|entries| (1..=MAX_ENTRIES).contains(entries));
    fits.ok_or_else(|| ConfigError::at(name, format!("is {given}; write 1 to {MAX_ENTRIES}")))
}

impl Root {
    fn store(&self) -> Result<StoreChoice, ConfigError> {
        let Self { prefix, key_secret: secret, .. } = self;
        let deadline = self.deadline.map(|Length(deadline)| deadline);
        let StoreUrl::Redis(url) = &self.store else {
            let given = [
                ("prefix", prefix.is_some()),
                ("key_secret", secret.is_some()),
                ("deadline", deadline.is_some()),
            ];
            return match given.into_iter().find(|(_, given)| *given) {
                None => Ok(StoreChoice::Memory),
                Some((name, _)) => {
                    let message = "goes with a store that servers share; leave it out";
                    Err(ConfigError::at(name, message))
                }
            };
        };
        if deadline.is_some_and(|deadline| deadline.is_zero()) {
            return Err(ConfigError::at("deadline", "is 0s; write a time such as \"100ms\""));
        }
        let (prefix, secret) = (prefix.clone(), secret.clone());
        if let Some(prefix) = &prefix {
            check_name("prefix", prefix)?;
        }
        Ok(StoreChoice::Redis(Shared { url: url.clone(), prefix, secret, deadline }))
    }

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

//! The keys at the root.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use super::{
    Config,
    policy::PolicyConfig,
    values::{Length, Trust},
};
use crate::{
    client_ip::{ClientIp, EVERYONE, wrong_hops},
    error::ConfigError,
    exemptions::Exemptions,
    networks::Networks,
    policy::{Policy, check_together},
    store::select::{Database, HAS_MEMORY, MAX_ENTRIES, MemoryLimits, StoreChoice, not_compiled},
    subject_resolver::SubjectResolver,
};

/// Among how many servers limits may be divided.
const MAX_SERVERS: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    #[serde(default)]
    store: StoreUrl,
    prefix: Option<String>,
    key_secret: Option<String>,
    timeout: Option<Length>,
    pool_size: Option<usize>,
    migrate: Option<bool>,
    max_keys: Option<u64>,
    max_bans: Option<u64>,
    local_share: Option<u32>,
    #[serde(default)]
    trusted_proxies: Trust,
    client_ip_header: Option<String>,
    client_ip_header_required: Option<bool>,
    #[serde(default)]
    never_ban: Vec<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    block: Vec<String>,
    #[serde(default)]
    exempt: Vec<String>,
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
    #[cfg_attr(not(feature = "_shared"), allow(dead_code, reason = "for shared stores alone"))]
    Shared(String),
}

impl TryFrom<String> for StoreUrl {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        match text.as_str() {
            "memory" if !HAS_MEMORY => Err(not_compiled("memory")),
            "memory" => Ok(Self::Memory),
            url => Database::of(url).map(|_| Self::Shared(text)),
        }
    }
}

impl TryFrom<Root> for Config {
    type Error = ConfigError;

    fn try_from(root: Root) -> Result<Self, ConfigError> {
        let identity = root.identity()?;
        let store = root.store()?;
        let default = MemoryLimits::default();
        let caps = MemoryLimits {
            keys: entries("max_keys", root.max_keys, default.keys)?,
            bans: entries("max_bans", root.max_bans, default.bans)?,
            local_share: root.local_share()?,
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
        match &self.store {
            StoreUrl::Memory => self.memory(),
            #[cfg(feature = "_shared")]
            StoreUrl::Shared(url) => self.shared(url),
            #[cfg(not(feature = "_shared"))]
            StoreUrl::Shared(_) => Err(not_compiled("redis")),
        }
    }

    fn local_share(&self) -> Result<u32, ConfigError> {
        match self.local_share {
            None => Ok(1),
            Some(servers @ 1..=MAX_SERVERS) => Ok(servers),
            Some(servers) => {
                let message = format!("is {servers}; write how many servers there are, 1 to 10000");
                Err(ConfigError::at("local_share", message))
            }
        }
    }

    fn memory(&self) -> Result<StoreChoice, ConfigError> {
        let given = [
            ("prefix", self.prefix.is_some()),
            ("key_secret", self.key_secret.is_some()),
            ("timeout", self.timeout.is_some()),
            ("pool_size", self.pool_size.is_some()),
            ("migrate", self.migrate.is_some()),
            ("local_share", self.local_share.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(StoreChoice::Memory),
            Some((name, _)) => {
                Err(ConfigError::at(name, "goes with a store that servers share; leave it out"))
            }
        }
    }

    #[cfg(feature = "_shared")]
    fn shared(&self, url: &str) -> Result<StoreChoice, ConfigError> {
        let mut builder = crate::RemoteStore::builder(url);
        if let Some(prefix) = &self.prefix {
            builder = builder.prefix(prefix);
        }
        if let Some(secret) = &self.key_secret {
            builder = builder.key_secret(secret.as_str());
        }
        if let Some(Length(timeout)) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(pool_size) = self.pool_size {
            builder = builder.pool_size(pool_size);
        }
        if let Some(migrate) = self.migrate {
            builder = builder.migrate(migrate);
        }
        builder.check()?;
        Ok(StoreChoice::Shared(builder))
    }

    fn identity(&self) -> Result<SubjectResolver, ConfigError> {
        let mut client_ip = self.forwarding()?;
        if self.client_ip_header_required == Some(false) {
            client_ip = client_ip.with_optional_header();
        }
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
        SubjectResolver {
            client_ip,
            never_ban: networks("never_ban", &self.never_ban)?,
            allow: networks("allow", &self.allow)?,
            block: networks("block", &self.block)?,
            exempt: Exemptions::parse(self.exempt.iter().map(String::as_str))
                .map_err(|error| error.within("exempt"))?,
            ..SubjectResolver::default()
        }
        .checked()
    }

    /// Who may say whom a request is from.
    fn forwarding(&self) -> Result<ClientIp, ConfigError> {
        let client_ip = ClientIp::default();
        match (&self.trusted_proxies, &self.client_ip_header) {
            (Trust::Networks(none), None) if none.is_empty() => Ok(client_ip),
            (_, None) => Err(ConfigError::new(
                "trusted_proxies is set but client_ip_header is not; \
                 write the one header that your proxies set, such as \"x-forwarded-for\"",
            )),
            (Trust::Networks(networks), Some(header)) => {
                client_ip.with_proxies(networks.iter().map(String::as_str), header)
            }
            (Trust::Hops(hops), Some(header)) => {
                let hops = u8::try_from(*hops).map_err(|_| wrong_hops(*hops))?;
                client_ip.with_hops(hops, header)
            }
            (Trust::Word(word), Some(header)) if word == EVERYONE => {
                client_ip.dangerously_trusting_everyone(header)
            }
            (Trust::Word(word), Some(header)) => client_ip.with_proxies([word.as_str()], header),
        }
    }
}

fn networks(name: &str, list: &[String]) -> Result<Networks, ConfigError> {
    Networks::parse(list.iter().map(String::as_str)).map_err(|error| error.within(name))
}

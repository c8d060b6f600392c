//! The keys at the root.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Deserializer};

use super::{
    Config,
    list_files::{ListFile, list_files},
    policy::PolicyConfig,
    raw_value::table,
    value_parsers::{Flag, Length, List, Number, Text, Trust},
};
use crate::{
    client_ip::{ClientIp, EVERYONE, wrong_hops},
    error::ConfigError,
    exempt_endpoints::Exemptions,
    limiter::{ReloadMode, RuleSettings, SettingTexts},
    networks::Networks,
    policy::{Mode, Policy, check_together},
    store::{
        database_kind::{Database, not_compiled},
        memory_capacity::{MAX_ENTRIES, MemoryLimits},
        store_choice::{HAS_MEMORY, StoreChoice},
    },
    subject_resolver::SubjectResolver,
};

/// Among how many servers limits may be divided.
const MAX_SERVERS: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    reload: ReloadMode,
    #[serde(default)]
    store: StoreUrl,
    prefix: Option<Text>,
    key_secret: Option<Text>,
    timeout: Option<Length>,
    pool_size: Option<Number<usize>>,
    migrate: Option<Flag>,
    max_keys: Option<Number<u64>>,
    max_bans: Option<Number<u64>>,
    local_share: Option<Number<u32>>,
    #[serde(default)]
    trusted_proxies: Trust,
    client_ip_header: Option<Text>,
    client_ip_header_required: Option<Flag>,
    #[serde(default)]
    never_ban: List,
    #[serde(default)]
    allow: List,
    #[serde(default)]
    block: List,
    #[serde(default)]
    exempt: List,
    #[serde(default)]
    never_ban_files: List,
    #[serde(default)]
    allow_files: List,
    #[serde(default)]
    block_files: List,
    ipv6_prefix: Option<Number<u8>>,
    #[serde(default)]
    nat64_prefixes: List,
    fallback_address: Option<Text>,
    #[serde(default, deserialize_with = "policies")]
    policies: BTreeMap<String, PolicyConfig>,
}

fn policies<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, PolicyConfig>, D::Error> {
    table(deserializer, "policies = { api = { quota = \"10/minute\" } }")
}

/// Which store. No message shows more of an URL than its scheme: what follows
/// may hold a password.
#[derive(Default, Deserialize)]
#[serde(try_from = "Text")]
enum StoreUrl {
    #[default]
    Memory,
    #[cfg_attr(not(feature = "_shared"), allow(dead_code, reason = "for shared stores alone"))]
    Shared(String),
}

impl TryFrom<Text> for StoreUrl {
    type Error = ConfigError;

    fn try_from(Text(text): Text) -> Result<Self, ConfigError> {
        match text.trim() {
            "memory" if !HAS_MEMORY => Err(not_compiled("memory")),
            "memory" => Ok(Self::Memory),
            "" => Err(ConfigError::new(
                "is empty; write \"memory\", or an URL such as \"redis://localhost:6379\"",
            )),
            word if !word.contains("://") => Err(no_url(word)),
            url => Database::of(url).map(|_| Self::Shared(url.to_owned())),
        }
    }
}

/// The value is shown only where it is one of these words.
fn no_url(text: &str) -> ConfigError {
    let url = match text {
        "redis" | "valkey" => "redis://localhost:6379",
        "postgres" | "postgresql" => "postgres://user:password@localhost:5432/database",
        "mysql" | "mariadb" => "mysql://user:password@localhost:3306/database",
        "sqlite" => "sqlite://limiter.db",
        _ => {
            return ConfigError::new(
                "is no URL, since it has no \"://\"; write \"memory\", or an URL such as \
                 \"redis://localhost:6379\"",
            );
        }
    };
    ConfigError::new(format!("{text:?} does not say where the server is; write {url:?}"))
}

impl TryFrom<Root> for Config {
    type Error = ConfigError;

    fn try_from(root: Root) -> Result<Self, ConfigError> {
        let identity = root.identity()?;
        let store = root.store()?;
        let list_files = root.list_files();
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
        let rules = RuleSettings { mode: root.mode, policies, identity };
        Ok(Self {
            store,
            caps,
            rules,
            reload: root.reload,
            place: String::new(),
            texts: SettingTexts::default(),
            files: Vec::new(),
            list_files,
            required: Vec::new(),
            read_again: None,
        })
    }
}

/// A cap of the memory store.
fn entries(name: &str, given: Option<Number<u64>>, default: usize) -> Result<usize, ConfigError> {
    let Some(Number(given)) = given else { return Ok(default) };
    let fits = usize::try_from(given).ok().filter(|entries| (1..=MAX_ENTRIES).contains(entries));
    fits.ok_or_else(|| ConfigError::at(name, format!("is {given}; write 1 to {MAX_ENTRIES}")))
}

impl Root {
    fn store(&self) -> Result<StoreChoice, ConfigError> {
        match &self.store {
            StoreUrl::Memory => Ok(self.memory()),
            #[cfg(feature = "_shared")]
            StoreUrl::Shared(url) => self.shared(url),
            #[cfg(not(feature = "_shared"))]
            StoreUrl::Shared(_) => Err(not_compiled("redis")),
        }
    }

    fn local_share(&self) -> Result<u32, ConfigError> {
        match self.local_share {
            None => Ok(1),
            Some(Number(servers @ 1..=MAX_SERVERS)) => Ok(servers),
            Some(Number(servers)) => {
                let message = format!("is {servers}; write how many servers there are, 1 to 10000");
                Err(ConfigError::at("local_share", message))
            }
        }
    }

    /// Memory needs none of the settings of a shared store. They may be there all
    /// the same: a test sets `LIMITER_STORE=memory` over the file of production.
    fn memory(&self) -> StoreChoice {
        let given = [
            ("prefix", self.prefix.is_some()),
            ("key_secret", self.key_secret.is_some()),
            ("timeout", self.timeout.is_some()),
            ("pool_size", self.pool_size.is_some()),
            ("migrate", self.migrate.is_some()),
            ("local_share", self.local_share.is_some()),
        ];
        for (name, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            tracing::info!("{name} has no effect: the store is this process's memory");
        }
        StoreChoice::Memory
    }

    #[cfg(feature = "_shared")]
    fn shared(&self, url: &str) -> Result<StoreChoice, ConfigError> {
        let mut builder = crate::RemoteStore::builder(url);
        if let Some(Text(prefix)) = &self.prefix {
            builder = builder.prefix(prefix);
        }
        if let Some(Text(secret)) = &self.key_secret {
            if secret.trim().is_empty() {
                return Err(ConfigError::at(
                    "key_secret",
                    "is empty; write 32 random characters, or leave it out",
                ));
            }
            builder = builder.key_secret(secret.as_str());
        }
        if let Some(Length(timeout)) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(Number(pool_size)) = self.pool_size {
            builder = builder.pool_size(pool_size);
        }
        if let Some(Flag(migrate)) = self.migrate {
            builder = builder.migrate(migrate);
        }
        builder.check()?;
        Ok(StoreChoice::Remote(builder))
    }

    fn identity(&self) -> Result<SubjectResolver, ConfigError> {
        let mut client_ip = self.forwarding()?;
        if matches!(self.client_ip_header_required, Some(Flag(false))) {
            client_ip = client_ip.with_optional_header();
        }
        if let Some(Number(prefix)) = self.ipv6_prefix {
            client_ip = client_ip.with_ipv6_prefix(prefix)?;
        }
        client_ip = client_ip.with_nat64_prefixes(self.nat64_prefixes.iter())?;
        if let Some(Text(text)) = &self.fallback_address {
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
            exempt: Exemptions::parse(self.exempt.iter())
                .map_err(|error| error.within("exempt"))?,
            ..SubjectResolver::default()
        }
        .checked()
    }

    fn list_files(&self) -> Vec<ListFile> {
        let files = [
            list_files("never_ban_files", &self.never_ban_files),
            list_files("allow_files", &self.allow_files),
            list_files("block_files", &self.block_files),
        ];
        files.into_iter().flatten().collect()
    }

    /// Proxies whose forwarding header is believed.
    fn forwarding(&self) -> Result<ClientIp, ConfigError> {
        let client_ip = ClientIp::default();
        match (&self.trusted_proxies, &self.client_ip_header) {
            (Trust::Networks(none), None) if none.is_empty() => Ok(client_ip),
            (_, None) => Err(ConfigError::new(
                "trusted_proxies is set but client_ip_header is not; \
                 write the one header that your proxies set, such as \"x-forwarded-for\"",
            )),
            (Trust::Networks(networks), Some(Text(header)))
                if networks.iter().any(|network| network == EVERYONE) =>
            {
                client_ip.dangerously_trusting_everyone(header)
            }
            (Trust::Networks(networks), Some(Text(header))) => {
                client_ip.with_proxies(networks.iter().map(String::as_str), header)
            }
            (Trust::Hops(hops), Some(Text(header))) => {
                let hops = u8::try_from(*hops).map_err(|_| wrong_hops(*hops))?;
                client_ip.with_hops(hops, header)
            }
        }
    }
}

fn networks(name: &str, list: &List) -> Result<Networks, ConfigError> {
    Networks::parse(list.iter()).map_err(|error| error.within(name))
}

//! The one configuration schema, for both frameworks.
//!
//! Rocket reads it from `[default.limiter]` of Rocket.toml, others from a file
//! of their own, `limiter.toml`, with the same keys at its root:
//!
//! ```toml
//! store = "memory"
//! trusted_proxies = ["10.0.0.0/8"]
//! client_ip_header = "x-forwarded-for"
//!
//! [policies.api]
//! quota = "10/second; 1000/hour"
//! key = "ip"
//!
//! [policies.login]
//! quota = "5/minute"
//! algorithm = "sliding_window"
//! on_store_error = "deny"
//! ban = { threshold = 10, window = "10m", duration = "10m", factor = 2, statuses = [401] }
//! ```
//!
//! Everything is checked while it is read. A fault is one message that names
//! the key, the value, and what would be right:
//!
//! ```
//! use limiter_core::Config;
//!
//! let error = Config::from_toml(r#"
//!     [policies.api]
//!     quota = "10/fortnight"
//! "#).unwrap_err().to_string();
//! assert!(error.starts_with("policies.api.quota: \"10/fortnight\""), "{error}");
//! ```
//!
//! # Root
//! | key | meaning | default |
//! |---|---|---|
//! | `store` | where state lives: `"memory"`, or the URL of a database, see `RemoteStore` | `"memory"` |
//! | `max_keys` | counters kept in memory at most (while a shared store is away, too) | 1000000 |
//! | `max_bans` | bans kept in memory at most | 100000 |
//! | `prefix` | what names of keys or tables in a shared store begin with | `"limiter"` |
//! | `key_secret` | under which secret keys that may be secret are digested there, the same for all servers | none |
//! | `timeout` | how long a shared store may take to answer | `"100ms"` |
//! | `pool_size` | connections to a PostgreSQL, MySQL or MariaDB server | 4 |
//! | `migrate` | whether to make tables that are missing | true |
//! | `local_share` | servers among which limits are divided while each counts in its own memory | 1: each admits the whole limit |
//! | `trusted_proxies` | networks (CIDR) whose forwarding header is believed; or how many proxies there are, where nobody can connect past them; or `"dangerously-trust-everyone"` | none |
//! | `client_ip_header` | the one header they write: `"x-forwarded-for"`, `"forwarded"`, or one with a single address | none |
//! | `never_ban` | networks that are never banned; trusted proxies never are | none |
//! | `allow` | networks whose requests pass uncounted | none |
//! | `block` | networks whose requests are refused with 403; of `allow` and `block` the smaller network counts | none |
//! | `ipv6_prefix` | bits of an IPv6 address that count as one client, 32 to 128 | 64 |
//! | `fallback_address` | what a connection without an address counts as (unix socket, test client) | an error |
//! | `policies.<name>` | the policies | none |
//!
//! # A policy
//! | key | meaning | default |
//! |---|---|---|
//! | `quota` | `"10/minute"`, `"100/5m"`, `"10/s burst 20; 1000/hour"` | must be given |
//! | `algorithm` | `"gcra"`, `"fixed_window"`, `"sliding_window"` | `"gcra"` |
//! | `key` | `"ip"`, `"user"`, `"endpoint"`, `"global"`, `"header:<name>"`, or a list | `"ip"` |
//! | `per_address` | with a header in the key: times the quota one address may use over all values | 10 |
//! | `mode` | `"enforce"`, or `"shadow"`: only watch | `"enforce"` |
//! | `headers` | `"draft-11"`, `"x-ratelimit"`, `"none"` | `"draft-11"` |
//! | `on_store_error` | `"local"`, `"allow"`, `"deny"` | `"local"` |
//! | `ban` | when a key is banned | never |
//!
//! # A ban
//! | key | meaning | default |
//! |---|---|---|
//! | `threshold` | strikes that ban | must be given |
//! | `window` | the time within which they count, `"10m"` | must be given |
//! | `duration` | how long the first ban lasts | must be given |
//! | `factor` | each next one lasts the last one's time by this, in thousandths | 1 |
//! | `max_duration` | and no longer | a day, or `duration` |
//! | `forgive_after` | how long after its last ban a key counts as new | `"1d"` |
//! | `refusals` | whether a refused request strikes | true |
//! | `statuses` | response statuses that strike, `[401, 403, 404]`; 499 is a client that hung up while actix-web had no answer yet | none |
//! | `status` | what a banned client is answered: 403 or 429 | 403 |
//! | `group` | a name; policies that give the same share strikes and bans | none |

mod error;
mod policy;
mod root;
mod values;

use std::{env, path::Path};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
    value::Value,
};

use crate::{
    error::ConfigError,
    policy::Policy,
    store::select::{MemoryLimits, StoreChoice},
    subject_resolver::SubjectResolver,
};

/// The environment variable that names the file.
const FILE_VARIABLE: &str = "LIMITER_CONFIG";

/// A checked configuration. See the [module docs](self).
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(try_from = "root::Root")]
pub struct Config {
    pub(crate) store: StoreChoice,
    pub(crate) caps: MemoryLimits,
    pub(crate) identity: SubjectResolver,
    pub(crate) policies: Vec<Policy>,
    /// Where it is from, for messages.
    pub(crate) place: String,
}

impl Config {
    /// Reads the file that `LIMITER_CONFIG` names, else `limiter.toml` in the
    /// working directory; then as [`from_file`](Self::from_file).
    ///
    /// # Errors
    /// As `from_file`.
    pub fn load() -> Result<Self, ConfigError> {
        let file = env::var_os(FILE_VARIABLE).unwrap_or_else(|| "limiter.toml".into());
        Self::from_file(file)
    }

    /// Reads a TOML file, and over it the environment: a variable
    /// `LIMITER_POLICIES__API__QUOTA` stands for `policies.api.quota`. A name
    /// with `-` cannot be written so, and `LIMITER_CONFIG` and variables that
    /// begin with `LIMITER_TEST_` are not configuration.
    ///
    /// # Errors
    /// If the file is not there, with its full path; or if something in it or
    /// in the environment is wrong, with file, key, value and what would be
    /// right.
    pub fn from_file(file: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let file = file.as_ref();
        let full = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        if !full.is_file() {
            return Err(ConfigError::new(format!(
                "there is no file {}; make it, or let {FILE_VARIABLE} name another",
                full.display()
            )));
        }
        let environment = Env::prefixed("LIMITER_")
            .filter(|key| key != "config" && !key.starts_with("test_"))
            .split("__");
        Self::from_figment(&Figment::from(Toml::file_exact(full)).merge(environment))
    }

    /// Reads TOML text.
    ///
    /// # Errors
    /// If something in it is wrong.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::from_figment(&Figment::from(Toml::string(text)))
    }

    /// Reads what a [`Figment`] has gathered, at its root.
    ///
    /// # Errors
    /// If something in it is wrong.
    pub fn from_figment(figment: &Figment) -> Result<Self, ConfigError> {
        Self::extract(figment, None)
    }

    /// Reads what a [`Figment`] has gathered under a key: Rocket's, at
    /// `limiter`.
    ///
    /// # Errors
    /// If something in it is wrong, or the key is not there.
    pub fn from_figment_at(figment: &Figment, key: &str) -> Result<Self, ConfigError> {
        match figment.find_value(key) {
            Ok(Value::Dict(..)) => {}
            Ok(_) => return Err(error::no_table(key, figment)),
            Err(error) if error.missing() => return Err(error::missing(key, figment)),
            Err(error) => return Err(error::describe(error, figment, None)),
        }
        Self::extract(&figment.focus(key), Some(key))
    }

    fn extract(figment: &Figment, at: Option<&str>) -> Result<Self, ConfigError> {
        let config: Self =
            figment.extract().map_err(|error| error::describe(error, figment, at))?;
        Ok(Self { place: error::places(figment.metadata()), ..config })
    }

    /// Checks that the application's policies are there.
    ///
    /// # Errors
    /// If one is not, with the file it would belong in.
    pub fn require<'a>(
        self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ConfigError> {
        for name in names {
            if self.policies.iter().all(|policy| policy.name() != name) {
                let known: Vec<_> = self.policy_names().collect();
                return Err(ConfigError::at(
                    format!("policies.{name}"),
                    format!(
                        "the policy {name:?} is missing, there are only: {}; write \
                         [policies.{name}] with a quota, such as quota = \"10/minute\" (in {})",
                        known.join(", "),
                        self.place
                    ),
                ));
            }
        }
        Ok(self)
    }

    /// The names of the policies, sorted.
    pub fn policy_names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(Policy::name)
    }
}

#[cfg(test)]
mod tests;

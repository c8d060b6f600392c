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
#![doc = include_str!("../docs/configuration.md")]

mod comparable_settings;
mod deserialize;
mod environment;
mod error_message;
mod list_files;
mod policy;
mod raw_value;
mod root;
mod value_parsers;

use std::{
    env, fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use figment::{
    Figment,
    providers::{Format, Toml},
    value::Value,
};

use self::{
    deserialize::Checked,
    environment::{Environment, RocketVariables, check_unread, warn_once},
};
use crate::{
    error::{ConfigError, ConfigErrorKind},
    limiter::{ReadAgain, ReloadMode, RuleSettings, SettingTexts},
    nearest_name::did_you_mean,
    policy::Policy,
    store::{memory_capacity::MemoryLimits, store_choice::StoreChoice},
};

/// The environment variable that names the file.
const FILE_VARIABLE: &str = "LIMITER_CONFIG";

/// The prefix of the variables that stand for keys of the file.
const VARIABLES: &str = "LIMITER_";

/// A checked configuration. See the [module docs](self).
///
/// It can be deserialised: an application that has settings of its own keeps it as a part of
/// them, or takes it from what its administrator has sent.
#[derive(Clone)]
pub struct Config {
    pub(crate) store: StoreChoice,
    pub(crate) caps: MemoryLimits,
    pub(crate) rules: RuleSettings,
    pub(crate) reload: ReloadMode,
    /// Where it is from, for messages.
    pub(crate) place: String,
    /// All keys and values, by which it is compared with another.
    pub(crate) texts: SettingTexts,
    /// The files that it was read from.
    pub(crate) files: Vec<PathBuf>,
    /// Files of lists that are yet to be read.
    pub(crate) list_files: Vec<list_files::ListFile>,
    /// The policies that the application needs.
    pub(crate) required: Vec<String>,
    /// How it is read again; `None` if it cannot be.
    pub(crate) read_again: Option<ReadAgain>,
}

impl Config {
    /// Reads the file that `LIMITER_CONFIG` names, else `limiter.toml` in the
    /// working directory; then as [`from_file`](Self::from_file).
    ///
    /// # Errors
    /// See `from_file`.
    pub fn load() -> Result<Self, ConfigError> {
        let file = env::var_os(FILE_VARIABLE).unwrap_or_else(|| "limiter.toml".into());
        Self::from_file(file)
    }

    /// Reads a TOML file, and over it the environment: a variable
    /// `LIMITER_POLICIES__API__QUOTA` stands for `policies.api.quota`. A name
    /// with `-` cannot be written so, and `LIMITER_CONFIG` and variables that
    /// begin with `LIMITER_TEST_` are not configuration; nor are those that
    /// Kubernetes writes for a service named `limiter`, such as
    /// `LIMITER_PORT=tcp://10.0.0.1:80`.
    ///
    /// # Errors
    /// If the file is not there, with its full path; or if something in it or
    /// in the environment is wrong, with file, key, value and what would be
    /// right.
    pub fn from_file(file: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_file_and_variables(file, VARIABLES)
    }

    /// As [`from_file`](Self::from_file), with another prefix than `LIMITER_`
    /// for the variables of the environment, such as `"SHOP_LIMITS_"`.
    ///
    /// # Errors
    /// See [`from_file`](Self::from_file).
    pub fn from_file_and_variables(
        file: impl AsRef<Path>,
        prefix: &str,
    ) -> Result<Self, ConfigError> {
        let file = file.as_ref();
        let full = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let (again, prefix) = (full.clone(), prefix.to_owned());
        let config = Self::from_full_path(full, &prefix)?;
        if prefix == VARIABLES {
            warn_once(VARIABLES);
        }
        Ok(config.with_read_again(move || Self::from_full_path(again.clone(), &prefix)))
    }

    fn from_full_path(full: PathBuf, prefix: &str) -> Result<Self, ConfigError> {
        if !full.is_file() {
            let message = format!(
                "there is no file {}; make it, or let {FILE_VARIABLE} name another",
                full.display()
            );
            return Err(ConfigError::of_kind(ConfigErrorKind::NoFile, message));
        }
        let environment = Environment::new(prefix);
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
    /// `limiter`. A flat key such as `limiter__policies__api__quota`, which is
    /// what Rocket makes of `ROCKET_LIMITER__POLICIES__API__QUOTA`, stands for
    /// `limiter.policies.api.quota`.
    ///
    /// # Errors
    /// If something in it is wrong, or the key is not there.
    pub fn from_figment_at(figment: &Figment, key: &str) -> Result<Self, ConfigError> {
        check_unread(figment, key)?;
        let variables = RocketVariables::find(figment, key);
        match figment.find_value(key) {
            Ok(Value::Dict(..)) => {}
            Ok(_) => return Err(error_message::no_table(key, figment)),
            Err(error) if error.missing() && variables.is_some() => {}
            Err(error) if error.missing() => return Err(error_message::missing(key, figment)),
            Err(error) => return Err(error_message::describe(error, figment, None)),
        }
        let focused = figment.focus(key);
        match variables {
            Some(variables) => Self::extract(&focused.merge(variables), Some(key)),
            None => Self::extract(&focused, Some(key)),
        }
    }

    fn extract(figment: &Figment, at: Option<&str>) -> Result<Self, ConfigError> {
        let Checked(config) =
            figment.extract().map_err(|error| error_message::describe(error, figment, at))?;
        let place = error_message::places(figment.metadata(), at.unwrap_or_default());
        let (texts, files) =
            (comparable_settings::texts(figment), error_message::files(figment.metadata()));
        let mut config = Self { place, texts, files, ..config };
        config.resolve_list_files(figment);
        config.read_list_files()?;
        Ok(config)
    }

    /// Sets how [`Limiter::reload`](crate::Limiter::reload) and the watcher read the
    /// configuration again: what was read from a file is read from there, and needs no
    /// more. A figment has read its files when it was built, so it is built anew:
    ///
    /// ```no_run
    /// use figment::{Figment, providers::{Format, Toml}};
    /// use limiter_core::{Config, ConfigError};
    ///
    /// fn read() -> Result<Config, ConfigError> {
    ///     Config::from_figment_at(&Figment::from(Toml::file("Shop.toml")), "limits")
    /// }
    ///
    /// let config = read()?.with_read_again(read);
    /// # Ok::<(), ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_read_again(
        self,
        read: impl Fn() -> Result<Self, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        Self { read_again: Some(Arc::new(read)), ..self }
    }

    /// Returns true if both have the same keys and values, wherever they are from.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.texts == other.texts
    }

    /// Returns true if its files are to be watched: `reload = "watch"`.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.reload == ReloadMode::Watch
    }

    /// Checks that the application's policies are there, now and in each configuration that
    /// is read again.
    ///
    /// # Errors
    /// If one is not, with the file it would belong in.
    pub fn require<'a>(
        mut self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ConfigError> {
        for name in names {
            self.required.push(name.to_owned());
            if self.rules.policies.iter().all(|policy| policy.name() != name) {
                let known: Vec<_> = self.policy_names().collect();
                return Err(ConfigError::at(
                    format!("policies.{name}"),
                    format!(
                        "the policy {name:?} is missing, there are only: {}; {}write \
                         [policies.{name}] with a quota, such as quota = \"10/minute\" (in {})",
                        known.join(", "),
                        did_you_mean(name, known.iter().copied()),
                        self.place
                    ),
                ));
            }
        }
        Ok(self)
    }

    /// The names of the policies, sorted.
    pub fn policy_names(&self) -> impl Iterator<Item = &str> {
        self.rules.policies.iter().map(Policy::name)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("store", &self.store)
            .field("caps", &self.caps)
            .field("rules", &self.rules)
            .field("reload", &self.reload)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

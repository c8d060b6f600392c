//! The keys of a policy and of a ban.

use serde::Deserialize;

use super::values::{Length, OneOrMany, Thousandths, parsed};
use crate::{
    ban::{BanAnswer, BanRule},
    error::ConfigError,
    key::KeySpec,
    policy::{HeaderStyle, Mode, OnStoreError, Policy},
    quota::{Algorithm, Quotas},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyConfig {
    #[serde(deserialize_with = "parsed")]
    quota: Quotas,
    #[serde(default)]
    algorithm: Algorithm,
    #[serde(default)]
    key: KeySpec,
    per_address: Option<u64>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    headers: HeaderStyle,
    #[serde(default)]
    on_store_error: OnStoreError,
    ban: Option<BanRule>,
}

impl PolicyConfig {
    /// The policy, under its name.
    pub(super) fn named(self, name: &str) -> Result<Policy, ConfigError> {
        let quotas = self
            .quota
            .with_algorithm(self.algorithm)
            .map_err(|error| ConfigError::at("quota", error).within(name))?;
        if self.per_address.is_some() && !self.key.is_client_chosen() {
            let message = "goes with a header in the key only; leave it out";
            return Err(ConfigError::at("per_address", message).within(name));
        }
        let policy = Policy::new(name, quotas)?
            .with_key(self.key)
            .with_mode(self.mode)
            .with_headers(self.headers)
            .with_on_store_error(self.on_store_error);
        let policy = match self.ban {
            Some(ban) => policy.with_ban(ban),
            None => policy,
        };
        match self.per_address {
            Some(times) => policy.with_per_address(times).map_err(|error| error.within(name)),
            None => Ok(policy),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BanConfig {
    threshold: u64,
    window: Length,
    duration: Length,
    factor: Option<Thousandths>,
    max_duration: Option<Length>,
    forgive_after: Option<Length>,
    #[serde(default = "yes")]
    refusals: bool,
    #[serde(default)]
    statuses: Vec<u16>,
    #[serde(default)]
    status: BanAnswer,
    group: Option<String>,
}

const fn yes() -> bool {
    true
}

impl TryFrom<BanConfig> for BanRule {
    type Error = ConfigError;

    fn try_from(config: BanConfig) -> Result<Self, ConfigError> {
        let BanConfig { refusals, statuses, status, .. } = config;
        let mut rule = Self::after_strikes(config.threshold)
            .within(config.window.0)
            .for_duration(config.duration.0)?
            .with_statuses(statuses)?
            .with_refusals(refusals)
            .with_answer(status);
        if let Some(Thousandths(factor)) = config.factor {
            rule = rule.with_factor_thousandths(factor)?;
        }
        if let Some(Length(max_duration)) = config.max_duration {
            rule = rule.with_max_duration(max_duration)?;
        }
        if let Some(Length(forgive_after)) = config.forgive_after {
            rule = rule.with_forgive_after(forgive_after)?;
        }
        match config.group {
            Some(group) => rule.with_group(&group),
            None => Ok(rule),
        }
    }
}

impl<'de> Deserialize<'de> for BanRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BanConfig::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for KeySpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = OneOrMany::deserialize(deserializer)?;
        Self::parse(parts.iter()).map_err(serde::de::Error::custom)
    }
}

/// Reads one of a few words, and says all of them where it is another.
macro_rules! words {
    ($type:ty: $($word:literal => $value:expr),+ $(,)?) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                match word.as_str() {
                    $($word => Ok($value),)+
                    _ => Err(serde::de::Error::unknown_variant(&word, &[$($word),+])),
                }
            }
        }
    };
}

words!(Algorithm:
    "gcra" => Self::Gcra,
    "fixed_window" => Self::FixedWindow,
    "sliding_window" => Self::SlidingWindow,
);
words!(Mode: "enforce" => Self::Enforce, "shadow" => Self::Shadow);
words!(HeaderStyle:
    "draft-11" => Self::Draft11,
    "draft-7" => Self::Draft7,
    "draft-6" => Self::Draft6,
    "x-ratelimit" => Self::XRateLimit,
    "none" => Self::None,
);
words!(OnStoreError: "local" => Self::Local, "allow" => Self::Allow, "deny" => Self::Deny);

impl<'de> Deserialize<'de> for BanAnswer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            403 => Ok(Self::Forbidden),
            429 => Ok(Self::TooManyRequests),
            other => Err(serde::de::Error::custom(format!("the status {other} is not 403 or 429"))),
        }
    }
}

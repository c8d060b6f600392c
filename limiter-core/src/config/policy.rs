//! The keys of a policy and of a ban.

use serde::{Deserialize, Deserializer};

use super::{
    raw_value::{RawValue, table},
    value_parsers::{Flag, Length, List, Number, Text, Thousandths, parsed},
};
use crate::{
    ban::{BanAnswer, BanRule},
    error::ConfigError,
    key::KeySpec,
    limiter::ReloadMode,
    policy::{HeaderStyles, Mode, OnStoreError, Policy},
    quota::{Algorithm, Quota, Quotas},
};

/// A policy, checked to be a table.
pub(super) struct PolicyConfig(PolicyTable);

impl<'de> Deserialize<'de> for PolicyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        table(deserializer, "{ quota = \"10/minute\" }").map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    #[serde(deserialize_with = "quotas")]
    quota: Quotas,
    algorithm: Option<Algorithm>,
    segments: Option<Number<u8>>,
    #[serde(default)]
    key: KeySpec,
    per_address: Option<Number<u64>>,
    lease: Option<Flag>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    headers: HeaderStyles,
    #[serde(default)]
    on_store_error: OnStoreError,
    #[serde(default)]
    refund: Option<List>,
    #[serde(default)]
    count_only: Option<List>,
    ban: Option<BanRule>,
}

impl PolicyConfig {
    /// The policy, under its name.
    pub(super) fn named(self, name: &str) -> Result<Policy, ConfigError> {
        let Self(table) = self;
        let quotas = counted(&table.quota, table.algorithm).map_err(|error| error.within(name))?;
        let quotas = match table.segments {
            Some(Number(segments)) => quotas
                .with_segments(segments)
                .map_err(|error| ConfigError::at("segments", error).within(name))?,
            None => quotas,
        };
        if table.per_address.is_some() && !table.key.is_client_chosen() {
            let message = "goes with a header in the key only; leave it out";
            return Err(ConfigError::at("per_address", message).within(name));
        }
        let policy = Policy::new(name, quotas)?
            .with_key(table.key)?
            .with_mode(table.mode)
            .with_headers(table.headers)
            .with_on_store_error(table.on_store_error)
            .with_lease(table.lease.is_some_and(|Flag(lease)| lease));
        let policy = match table.refund {
            Some(statuses) => policy.with_refund(statuses.iter())?,
            None => policy,
        };
        let policy = match table.count_only {
            Some(statuses) => policy.with_count_only(statuses.iter())?,
            None => policy,
        };
        let policy = match table.ban {
            Some(ban) => policy.with_ban(ban),
            None => policy,
        };
        match table.per_address {
            Some(Number(times)) => {
                policy.with_per_address(times).map_err(|error| error.within(name))
            }
            None => Ok(policy),
        }
    }
}

/// Returns the quotas, counted by an algorithm where one is given.
fn counted(quotas: &Quotas, algorithm: Option<Algorithm>) -> Result<Quotas, ConfigError> {
    let Some(algorithm) = algorithm else { return Ok(quotas.clone()) };
    let has_start = |quota: &Quota| quota.window_start().is_some();
    if algorithm != Algorithm::FixedWindow && quotas.iter().all(has_start) {
        let message = format!(
            "is {:?}, but windows that begin \"from\" a set time are counted by \"fixed_window\"; \
             leave it out",
            algorithm.as_str()
        );
        return Err(ConfigError::at("algorithm", message));
    }
    quotas.with_algorithm(algorithm).map_err(|error| ConfigError::at("quota", error))
}

/// Reads quotas; the commonest mistakes have messages of their own.
fn quotas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quotas, D::Error> {
    let wrong = |message: String| Err(serde::de::Error::custom(message));
    match RawValue::deserialize(deserializer)? {
        RawValue::Text(text) => text.parse().map_err(serde::de::Error::custom),
        RawValue::Number(limit) => {
            wrong(format!("is {limit}, a limit without a window; write \"{limit}/minute\""))
        }
        RawValue::List(list) => wrong(format!("is a list; write {:?}", list.join("; "))),
        other => wrong(format!("{}; write \"10/minute\"", other.shown())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BanConfig {
    threshold: Number<u64>,
    window: Length,
    duration: Length,
    factor: Option<Thousandths>,
    max_duration: Option<Length>,
    forgive_after: Option<Length>,
    refusals: Option<Flag>,
    reserve: Option<Flag>,
    #[serde(default)]
    statuses: List,
    #[serde(default)]
    status: BanAnswer,
    group: Option<Text>,
}

impl TryFrom<BanConfig> for BanRule {
    type Error = ConfigError;

    fn try_from(config: BanConfig) -> Result<Self, ConfigError> {
        let refusals = config.refusals.is_none_or(|Flag(refusals)| refusals);
        let mut rule = Self::after_strikes(config.threshold.0)
            .within(config.window.0)
            .for_duration(config.duration.0)?
            .with_statuses(config.statuses.iter())?
            .with_reserve(config.reserve.is_some_and(|Flag(reserve)| reserve))
            .with_refusals(refusals)
            .with_answer(config.status);
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
            Some(Text(group)) => rule.with_group(&group),
            None => Ok(rule),
        }
    }
}

impl<'de> Deserialize<'de> for BanRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let example = "{ threshold = 10, window = \"10m\", duration = \"10m\" }";
        let config: BanConfig = table(deserializer, example)?;
        config.try_into().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for KeySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = List::deserialize(deserializer)?;
        Self::parse(parts.iter()).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for HeaderStyles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let List(styles) = List::deserialize(deserializer)?;
        styles.join(",").parse().map_err(serde::de::Error::custom)
    }
}

/// Reads text by the type's own parser.
macro_rules! by_from_str {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parsed(deserializer)
            }
        }
    )+};
}

by_from_str!(Algorithm, BanAnswer, Mode, OnStoreError, ReloadMode);

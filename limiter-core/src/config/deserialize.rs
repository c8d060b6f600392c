//! A configuration from what an application has read by itself: `Deserialize` of [`Config`].

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map},
};
use serde::{Deserialize, Deserializer, de};

use super::{Config, root::Root};
use crate::error::ConfigError;

/// A configuration whose keys are read and checked. Its values, by which two are compared,
/// and its files are not in it yet.
#[derive(Deserialize)]
#[serde(try_from = "Root")]
pub(super) struct Checked(pub(super) Config);

impl TryFrom<Root> for Checked {
    type Error = ConfigError;

    fn try_from(root: Root) -> Result<Self, ConfigError> {
        Config::try_from(root).map(Self)
    }
}

/// Goes through a figment, as a file does: derived, it had no values to be compared with, so
/// that a reload found no change and did nothing.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let settings = ApplicationSettings(Dict::deserialize(deserializer)?);
        Self::from_figment(&Figment::from(settings)).map_err(de::Error::custom)
    }
}

/// Keys and values that an application has read by itself.
struct ApplicationSettings(Dict);

impl Provider for ApplicationSettings {
    fn metadata(&self) -> Metadata {
        Metadata::named("the application's settings")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

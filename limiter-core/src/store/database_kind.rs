//! The databases of the remote store: one for each scheme of its URL, if the feature of
//! that database is compiled in.

#![cfg_attr(
    not(any(feature = "config", feature = "_shared")),
    allow(dead_code, reason = "URLs are of the configuration and of remote stores")
)]

use crate::error::ConfigError;

/// The databases that are compiled in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Database {
    #[cfg(feature = "redis")]
    Redis,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    MySql,
    #[cfg(feature = "sqlite")]
    Sqlite,
}

impl Database {
    /// Returns the database that a URL is of. Errors show the scheme of the URL alone:
    /// the rest may hold a password.
    pub(crate) fn of(url: &str) -> Result<Self, ConfigError> {
        let is_scheme =
            |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let scheme = url.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme);
        let scheme = scheme.unwrap_or("without ://");
        match scheme {
            "rediss" | "rediss-sentinel" | "rediss-cluster" if !cfg!(feature = "tls") => {
                Err(not_compiled("tls"))
            }
            "redis" | "redis-sentinel" | "redis-cluster" | "rediss" | "rediss-sentinel"
            | "rediss-cluster" => Self::redis(),
            "unix" | "redis+unix" if cfg!(unix) => Self::redis(),
            "postgres" | "postgresql" => Self::postgres(),
            "mysql" | "mariadb" => Self::mysql(),
            "sqlite" => Self::sqlite(),
            _ => Err(ConfigError::new(format!(
                "there is no store {scheme:?}; write \"memory\", or an URL that begins with \
                 redis://, redis+unix://, redis-sentinel://, redis-cluster://, postgres://, mysql:// \
                 or sqlite://"
            ))),
        }
    }
}

/// Returns a database if its feature is on, or an error that names the feature.
macro_rules! compiled {
    ($function:ident, $feature:literal, $variant:ident) => {
        impl Database {
            #[cfg(feature = $feature)]
            #[allow(clippy::unnecessary_wraps, reason = "without the feature there is none")]
            fn $function() -> Result<Self, ConfigError> {
                Ok(Self::$variant)
            }

            #[cfg(not(feature = $feature))]
            fn $function() -> Result<Self, ConfigError> {
                Err(not_compiled($feature))
            }
        }
    };
}

compiled!(redis, "redis", Redis);
compiled!(postgres, "postgres", Postgres);
compiled!(mysql, "mysql", MySql);
compiled!(sqlite, "sqlite", Sqlite);

#[cfg(feature = "_shared")]
impl Database {
    pub(crate) fn check_prefix(self, prefix: &str) -> Result<(), ConfigError> {
        let plain = |name: &str| {
            !name.starts_with(|first: char| first.is_ascii_digit())
                && (1..=32).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        match self {
            #[cfg(feature = "redis")]
            Self::Redis => crate::name::check_name("prefix", prefix),
            #[allow(unreachable_patterns, reason = "where Redis alone is compiled in")]
            _ if prefix.split('.').count() <= 2 && prefix.split('.').all(plain) => Ok(()),
            #[allow(unreachable_patterns, reason = "where Redis alone is compiled in")]
            _ => Err(ConfigError::at(
                "prefix",
                format!(
                    "is {prefix:?}; tables want 1 to 32 lower-case letters, digits and \"_\", \
                     beginning with a letter, such as \"limiter\" or \"schema.limiter\""
                ),
            )),
        }
    }
}

/// Returns the error of a store whose feature is off.
pub(crate) fn not_compiled(feature: &str) -> ConfigError {
    ConfigError::new(format!(
        "needs the feature {feature:?}, which is not compiled in; enable it of limiter-core, \
         limiter-actix or limiter-rocket"
    ))
}

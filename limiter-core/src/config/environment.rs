//! Variables of the environment as configuration: [`Environment`], and those of
//! Rocket.

mod rocket_variables;
mod unread;
mod variable_value;

use std::{env, ffi::OsString};

use figment::{
    Error, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

pub(super) use self::rocket_variables::RocketVariables;
pub(super) use self::unread::{check_unread, warn_once};
use self::variable_value::parse;

/// The variables that begin with a prefix: `LIMITER_POLICIES__API__QUOTA` is
/// `policies.api.quota`.
///
/// Not figment's own provider: it makes numbers of digits, so that a secret
/// `"007"` would become `"7"`, and it reads what Kubernetes writes.
pub(super) struct Environment {
    prefix: String,
    variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// The variables of this process.
    pub(super) fn new(prefix: &str) -> Self {
        Self::of(prefix, env::vars_os())
    }

    pub(super) fn of(
        prefix: &str,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        Self { prefix: prefix.to_owned(), variables: variables.into_iter().collect() }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("`{}` environment variable(s)", self.prefix))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut root = Dict::new();
        for (name, value) in self.variables.clone() {
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(&self.prefix)) else {
                continue;
            };
            if is_setting(name) {
                let value = value.into_string().map_err(|_| {
                    Error::from(format!("the variable {}{name} is not UTF-8", self.prefix))
                })?;
                if is_injected(name, &value) {
                    tracing::info!(
                        "ignored the variable {}{name}: Kubernetes writes it for a service of \
                         that name",
                        self.prefix
                    );
                } else {
                    insert(&mut root, &name.to_ascii_lowercase(), parse(value));
                }
            }
        }
        Ok(Profile::Default.collect(root))
    }
}

/// Returns the prefix in figment's "`LIMITER_` environment variable(s)".
pub(super) fn prefix_of_variables(metadata: &Metadata) -> Option<&str> {
    metadata.name.strip_suffix("` environment variable(s)")?.strip_prefix('`')
}

/// `LIMITER_CONFIG` names the file, and tests have variables of their own.
pub(super) fn is_setting(name: &str) -> bool {
    name != "CONFIG" && !name.starts_with("TEST_")
}

/// Returns true for a variable that Kubernetes writes into each container for a
/// service whose name begins with the prefix: `LIMITER_PORT=tcp://10.0.0.1:80`,
/// `LIMITER_SERVICE_HOST`, `LIMITER_PORT_80_TCP_ADDR`. No key of the
/// configuration looks so.
fn is_injected(name: &str, value: &str) -> bool {
    let name = name.rsplit_once("__").map_or(name, |(_, last)| last);
    let protocols = ["_TCP", "_UDP", "_SCTP"];
    let has_port = name.starts_with("PORT_") || name.contains("_PORT_");
    name.ends_with("SERVICE_HOST")
        || name.contains("SERVICE_PORT")
        || (name == "PORT" || name.ends_with("_PORT")) && value.contains("://")
        || has_port && protocols.iter().any(|protocol| name.contains(protocol))
}

/// Puts a value under a key whose parts have `__` between.
fn insert(dict: &mut Dict, key: &str, value: Value) {
    match key.split_once("__") {
        None => {
            dict.insert(key.to_owned(), value);
        }
        Some((table, rest)) => {
            let table = dict.entry(table.to_owned()).or_insert_with(|| Dict::new().into());
            if let Value::Dict(_, inner) = table {
                insert(inner, rest, value);
            } else {
                *table = nested(rest, value);
            }
        }
    }
}

fn nested(key: &str, value: Value) -> Value {
    let mut dict = Dict::new();
    insert(&mut dict, key, value);
    dict.into()
}

//! Variables that are meant for the limiter and are not read: under the prefix of the other
//! framework, in lower case, or with one `_` where there have to be two.

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
};

use figment::{Figment, value::Dict};

use super::{is_injected, is_setting, prefix_of_variables};
use crate::{error::ConfigError, nearest_name::did_you_mean};

/// Checks the variables that a figment has at its root, as Rocket's has, and that begin as
/// those of the limiter do: `ROCKET_LIMITER_STORE`, `ROCKET_LIMITERS__STORE`.
///
/// # Errors
/// If one would be read under another name.
pub(in crate::config) fn check_unread(figment: &Figment, key: &str) -> Result<(), ConfigError> {
    for flat in figment.extract::<Dict>().unwrap_or_default().into_keys() {
        let Some(prefix) = figment.find_metadata(&flat).and_then(prefix_of_variables) else {
            continue;
        };
        let own = format!("{prefix}{}", key.to_ascii_uppercase());
        let name = format!("{prefix}{}", flat.to_ascii_uppercase());
        let value = env::var(&name).unwrap_or_default();
        if let Some(right) = meant(&own, &name, &value) {
            return Err(ConfigError::new(format!(
                "the variable {name} is not read; write {right}, with two \"_\" between the \
                 parts of a key"
            )));
        }
    }
    for prefix in figment.metadata().filter_map(prefix_of_variables) {
        warn_once(&format!("{prefix}{}__", key.to_ascii_uppercase()));
    }
    Ok(())
}

/// Returns the name under which a variable would be read, if it was meant to be.
fn meant(own: &str, name: &str, value: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix(own).and_then(|rest| rest.strip_prefix('_')) {
        let is_read = rest.starts_with('_');
        let is_meant = !is_read && is_setting(rest) && !is_injected(rest, value);
        return is_meant.then(|| format!("{own}__{rest}"));
    }
    let (head, rest) = name.split_once("__")?;
    let start = own.rfind('_').map_or(0, |at| at + 1);
    let (head, own_head) = (head.strip_prefix(&own[..start])?, &own[start..]);
    let is_near = head != own_head && !did_you_mean(head, [own_head]).is_empty();
    is_near.then(|| format!("{own}__{rest}"))
}

/// Warns, once a process, of variables that this configuration does not read.
pub(in crate::config) fn warn_once(read: &str) {
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    if IS_DONE.swap(true, Ordering::Relaxed) {
        return;
    }
    for (name, value) in env::vars_os() {
        let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { continue };
        if let Some(right) = under_other_prefix(read, &name, &value) {
            tracing::warn!("the variable {name} is not read here; write {right}");
        }
    }
}

/// Returns the name that a variable of the limiter has under the prefix that is read.
fn under_other_prefix(read: &str, name: &str, value: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let rest = match upper.strip_prefix("ROCKET_LIMITER_") {
        Some(rest) => rest.trim_start_matches('_'),
        None => upper.strip_prefix("LIMITER_")?,
    };
    let is_other = !name.starts_with(read) && is_setting(rest) && !is_injected(rest, value);
    is_other.then(|| format!("{read}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nothing_reads_is_meant_for_another_name() {
        let table = [
            ("ROCKET_LIMITER_STORE", Some("ROCKET_LIMITER__STORE")),
            ("ROCKET_LIMITER_POLICIES__API__KEY", Some("ROCKET_LIMITER__POLICIES__API__KEY")),
            ("ROCKET_LIMITERS__STORE", Some("ROCKET_LIMITER__STORE")),
            ("ROCKET_LIMITER__STORE", None),
            ("ROCKET_LIMITER", None),
            ("ROCKET_LIMITER_TEST_URL", None),
            ("ROCKET_LIMITER_SERVICE_HOST", None),
            ("ROCKET_PORT", None),
            ("ROCKET_DATABASES__STORE", None),
            ("OTHER_LIMITER_STORE", None),
        ];
        for (name, right) in table {
            assert_eq!(meant("ROCKET_LIMITER", name, "x").as_deref(), right, "{name}");
        }
    }

    #[test]
    fn a_variable_for_the_other_framework_has_a_name_here() {
        let table = [
            ("LIMITER_", "ROCKET_LIMITER__STORE", Some("LIMITER_STORE")),
            ("LIMITER_", "limiter_store", Some("LIMITER_STORE")),
            ("LIMITER_", "LIMITER_STORE", None),
            (
                "ROCKET_LIMITER__",
                "LIMITER_POLICIES__API__KEY",
                Some("ROCKET_LIMITER__POLICIES__API__KEY"),
            ),
            ("ROCKET_LIMITER__", "LIMITER_CONFIG", None),
            ("ROCKET_LIMITER__", "LIMITER_SERVICE_HOST", None),
            ("ROCKET_LIMITER__", "ROCKET_LIMITER__STORE", None),
            ("ROCKET_LIMITER__", "RATE_LIMITER_STORE", None),
        ];
        for (read, name, right) in table {
            assert_eq!(under_other_prefix(read, name, "x").as_deref(), right, "{read} {name}");
        }
    }
}

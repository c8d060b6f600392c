//! Configuration errors, each as one message.

use std::{env, path::PathBuf};

use figment::{
    Error, Figment, Metadata, Source,
    error::{Actual, Kind},
    value::{Dict, Value},
};

use super::environment::{is_setting, prefix_of_variables};
use crate::{error::ConfigError, nearest_name::did_you_mean};

/// The first fault: where, what, and in which file. Further ones follow from
/// it, or are next once it is mended.
///
/// `at` is the key below which everything was looked up; where there is one,
/// the profile is named as well.
pub(super) fn describe(errors: Error, figment: &Figment, at: Option<&str>) -> ConfigError {
    let Some(error) = errors.into_iter().next() else {
        return ConfigError::new("the configuration cannot be read");
    };
    let mut path = error.path.clone();
    if let (Some(key), Some(profile)) = (at, &error.profile) {
        path.splice(0..0, [profile.to_string(), key.to_owned()]);
    }
    let message = format!("{}{}", reason(&error.kind), source(&error, figment, at));
    if path.is_empty() {
        ConfigError::new(message)
    } else {
        ConfigError::at(path.join("."), message)
    }
}

/// An error for a key that is missing.
pub(super) fn missing(key: &str, figment: &Figment) -> ConfigError {
    let root: Dict = figment.extract().unwrap_or_default();
    let hint = did_you_mean(key, root.keys().map(String::as_str));
    let files: Vec<_> =
        files(figment.metadata()).iter().map(|file| file.display().to_string()).collect();
    ConfigError::new(format!(
        "there is no [default.{key}] in the configuration; {hint}write \
         [default.{key}.policies.<name>] with a quota, such as quota = \"10/minute\"{}",
        shown(&files.join(" or "))
    ))
}

/// There is something else than a table under `key`. Its text is not shown: it
/// may hold the URL of a store.
pub(super) fn no_table(key: &str, figment: &Figment) -> ConfigError {
    let source = figment.find_metadata(key).map_or_else(String::new, |found| places([found], key));
    ConfigError::at(
        key,
        format!(
            "is no table, or a table with a fault in its notation; write \
             {{policies={{api={{quota=\"10/minute\"}}}}}}{}",
            shown(&source)
        ),
    )
}

fn reason(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(name, known) => match renamed(name).or_else(|| misplaced(name)) {
            Some(right) => format!("there is no key {name:?}; write {right}"),
            None => {
                let hint = did_you_mean(name, known.iter().copied());
                format!("there is no key {name:?}; {hint}known are: {}", known.join(", "))
            }
        },
        Kind::MissingField(name) => {
            format!("the key {:?} is missing; write {}", name.as_ref(), example(name))
        }
        // The value is not shown: it may be secret.
        Kind::InvalidType(actual, expected) => {
            format!("is {}; write {expected}", kind_of(actual))
        }
        other => without_lines_of_the_file(&other.to_string()),
    }
}

/// Returns the replacement for a word of the Python decorator, or of other limiters.
fn renamed(name: &str) -> Option<&'static str> {
    Some(match name {
        // A variable, whose parts are the keys.
        name if name.starts_with("policies_") => {
            "policies.<name>.<key>, in a variable with two \"_\" for each dot: \
             LIMITER_POLICIES__API__QUOTA"
        }
        "limit" | "period" => {
            "both as one quota: limit = 10 and period = 60 are quota = \"10/60s\""
        }
        "rate" | "requests" | "quotas" => "quota = \"10/minute\"",
        "window" => "it behind the limit: quota = \"10/60s\"",
        "burst" => "it in the quota: quota = \"10/second burst 20\"",
        "identifier" => "key = \"ip\", \"user\" or \"header:<name>\"",
        "auto_ban" | "ban_threshold" | "ban_duration" => {
            "ban = { threshold = 10, window = \"10m\", duration = \"120s\" }"
        }
        "cache" | "backend" | "storage" | "url" | "redis_url" | "database_url" => {
            "store = \"redis://localhost:6379\""
        }
        "deadline" => "timeout = \"100ms\"",
        "policy" => "[policies.<name>]",
        "enabled" => "mode = \"enforce\", \"shadow\" or \"off\"",
        "whitelist" | "allowlist" => "allow = [\"10.0.0.0/8\"]",
        "blacklist" | "blocklist" => "block = [\"192.0.2.0/24\"]",
        "default" | "limiter" => {
            "the keys without [default.limiter], which is for Rocket's configuration"
        }
        _ => return None,
    })
}

/// Returns the place of a key that is known in another one than where it was met.
fn misplaced(name: &str) -> Option<&'static str> {
    Some(match name {
        "quota" | "algorithm" | "key" | "headers" | "on_store_error" | "refund" | "count_only"
        | "ban" => "it below [policies.<name>]: it is a key of a policy",
        "store" | "prefix" | "trusted_proxies" | "client_ip_header" | "allow" | "block"
        | "never_ban" | "reload" | "max_keys" => {
            "it above the first [table]: it is a key of the root, not of a policy"
        }
        _ => return None,
    })
}

/// A value for a key that is missing.
fn example(name: &str) -> String {
    match name {
        "quota" => "quota = \"10/minute\"".to_owned(),
        "threshold" => "threshold = 10, the strikes that ban".to_owned(),
        "window" => "window = \"10m\", the time within which strikes count".to_owned(),
        "duration" => "duration = \"10m\", the time a ban lasts".to_owned(),
        _ => "it".to_owned(),
    }
}

const fn kind_of(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "a text",
    }
}

/// A fault in the syntax comes with the line that has it, which may hold a
/// password.
fn without_lines_of_the_file(message: &str) -> String {
    let is_quoted = |line: &&str| {
        let line = line.trim_start();
        line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
    };
    let lines: Vec<_> = message.lines().filter(|line| !is_quoted(line)).collect();
    lines.join(": ")
}

/// Where the faulty value is from, or all places it may be from: of a table, or
/// of the whole, figment does not know which part of it is at fault.
fn source(error: &Error, figment: &Figment, at: Option<&str>) -> String {
    let table = match figment.find_value(&error.path.join(".")) {
        Ok(value) => matches!(value, Value::Dict(..)),
        Err(_) => true,
    };
    let path: Vec<&str> = at.into_iter().chain(error.path.iter().map(String::as_str)).collect();
    let path = path.join(".");
    shown(&match &error.metadata {
        Some(metadata) if !table => places([metadata], &path),
        _ => places(figment.metadata(), &path),
    })
}

fn shown(places: &str) -> String {
    if places.is_empty() { String::new() } else { format!(" (in {places})") }
}

/// The files, and the variables of the environment that are in use for the value at `path`,
/// or for a part of it; where there is neither, whatever there is.
pub(super) fn places<'a>(metadata: impl IntoIterator<Item = &'a Metadata>, path: &str) -> String {
    let (mut places, mut variables, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for metadata in metadata {
        match (&metadata.source, prefix_of_variables(metadata)) {
            (Some(Source::File(path)), _) => places.push(path.display().to_string()),
            (_, Some(prefix)) => variables.extend(variables_in_use(prefix, path)),
            // Figment names what is merged as a value by its type.
            (_, None) if !metadata.name.contains("::") => others.push(metadata.name.to_string()),
            (_, None) => {}
        }
    }
    places.dedup();
    if !variables.is_empty() {
        places.push(variables.join(", "));
    }
    if places.is_empty() { others.join(", ") } else { places.join(" or ") }
}

/// The files that a figment was read from.
pub(super) fn files<'a>(metadata: impl IntoIterator<Item = &'a Metadata>) -> Vec<PathBuf> {
    let file = |metadata: &Metadata| match &metadata.source {
        Some(Source::File(path)) => Some(path.clone()),
        _ => None,
    };
    let mut files: Vec<_> = metadata.into_iter().filter_map(file).collect();
    files.dedup();
    files
}

/// The variables of that prefix whose key is that path, is below it, or holds it.
fn variables_in_use(prefix: &str, path: &str) -> Vec<String> {
    let holds = |table: &str, key: &str| {
        let rest = key.strip_prefix(table);
        table.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_in_use = |name: &String| {
        let Some(name) = name.strip_prefix(prefix).filter(|name| is_setting(name)) else {
            return false;
        };
        let key = name.to_ascii_lowercase().replace("__", ".");
        holds(&key, path) || holds(path, &key)
    };
    env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(is_in_use).collect()
}

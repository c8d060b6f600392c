//! Configuration errors, each as one message.

use std::{env, path::PathBuf};

use figment::{
    Error, Figment, Metadata, Source,
    error::{Actual, Kind},
    value::Value,
};

use super::environment::is_setting;
use crate::error::ConfigError;

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
    let message = format!("{} (in {})", reason(&error.kind), source(&error, figment));
    if path.is_empty() {
        ConfigError::new(message)
    } else {
        ConfigError::at(path.join("."), message)
    }
}

/// An error for a key that is missing.
pub(super) fn missing(key: &str, figment: &Figment) -> ConfigError {
    let message = format!(
        "there is no [default.{key}] in the configuration; write \
         [default.{key}.policies.<name>] with a quota, such as quota = \"10/minute\""
    );
    ConfigError::new(format!("{message} (in {})", places(figment.metadata())))
}

/// There is something else than a table under `key`. Its text is not shown: it
/// may hold the URL of a store.
pub(super) fn no_table(key: &str, figment: &Figment) -> ConfigError {
    let source = figment.find_metadata(key).map_or_else(String::new, |found| places([found]));
    ConfigError::at(
        key,
        format!(
            "is no table, or a table with a fault in its notation; write \
             {{policies={{api={{quota=\"10/minute\"}}}}}} (in {source})"
        ),
    )
}

fn reason(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(name, known) => match renamed(name) {
            Some(right) => format!("there is no key {name:?}; write {right}"),
            None => format!("there is no key {name:?}; known are: {}", known.join(", ")),
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
        "cache" | "backend" | "storage" | "url" => "store = \"redis://localhost:6379\"",
        "deadline" => "timeout = \"100ms\"",
        "policy" => "[policies.<name>]",
        "default" | "limiter" => {
            "the keys without [default.limiter], which is for Rocket's configuration"
        }
        // They are known at the root, and so are met as unknown only below it.
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
fn source(error: &Error, figment: &Figment) -> String {
    let table = match figment.find_value(&error.path.join(".")) {
        Ok(value) => matches!(value, Value::Dict(..)),
        Err(_) => true,
    };
    match &error.metadata {
        Some(metadata) if !table => places([metadata]),
        _ => places(figment.metadata()),
    }
}

/// The files, and the variables of the environment that are in use; where there
/// is neither, whatever there is.
pub(super) fn places<'a>(metadata: impl IntoIterator<Item = &'a Metadata>) -> String {
    let (mut places, mut others) = (Vec::new(), Vec::new());
    for metadata in metadata {
        match &metadata.source {
            Some(Source::File(path)) => places.push(path.display().to_string()),
            _ => others.push(metadata.name.to_string()),
        }
    }
    places.dedup();
    let variables: Vec<_> = others.iter().filter_map(|name| variables_in_use(name)).collect();
    places.extend(variables);
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

/// The variables behind figment's "`LIMITER_` environment variable(s)".
fn variables_in_use(name: &str) -> Option<String> {
    let prefix = name.strip_suffix("` environment variable(s)")?.trim_start_matches('`');
    let in_use = |name: &String| name.strip_prefix(prefix).is_some_and(is_setting);
    let names: Vec<_> =
        env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(in_use).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

//! What is wrong in a configuration, in one message.

use figment::{Error, Figment, Metadata, Source, error::Kind};

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

/// That there is nothing under `key` at all.
pub(super) fn missing(key: &str, figment: &Figment) -> ConfigError {
    let message = format!(
        "there is no [default.{key}] in the configuration; write \
         [default.{key}.policies.<name>] with a quota, such as quota = \"10/minute\""
    );
    ConfigError::new(format!("{message} (in {})", places(figment.metadata())))
}

fn reason(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(name, known) => {
            format!("there is no key {name:?}; known are: {}", known.join(", "))
        }
        Kind::UnknownVariant(name, known) => {
            format!("{name:?} is not known; write {}", quoted(known))
        }
        Kind::MissingField(name) => format!("the key {:?} is missing; write it", name.as_ref()),
        other => other.to_string(),
    }
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    words.join(" or ")
}

/// Where the faulty value is from, or all places it may be from.
fn source(error: &Error, figment: &Figment) -> String {
    match &error.metadata {
        Some(metadata) => places([metadata]),
        None => places(figment.metadata()),
    }
}

/// The files; where there is none, whatever there is.
fn places<'a>(metadata: impl IntoIterator<Item = &'a Metadata>) -> String {
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for metadata in metadata {
        match &metadata.source {
            Some(Source::File(path)) => files.push(path.display().to_string()),
            _ => others.push(metadata.name.to_string()),
        }
    }
    let mut places = if files.is_empty() { others } else { files };
    places.dedup();
    places.join(", ")
}

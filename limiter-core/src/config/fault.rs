//! What is wrong in a configuration, in one message.

use figment::{Error, Figment, Source, error::Kind};

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
        if path.is_empty() {
            path.push(key.to_owned());
        }
        path.insert(0, profile.to_string());
    }
    let message = format!("{} (in {})", reason(&error.kind), source(&error, figment));
    if path.is_empty() {
        ConfigError::new(message)
    } else {
        ConfigError::at(path.join("."), message)
    }
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
    let mut sources: Vec<String> = match &error.metadata {
        Some(metadata) => vec![place(metadata)],
        None => figment.metadata().map(place).collect(),
    };
    sources.dedup();
    sources.join(", ")
}

fn place(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    }
}

//! The error of a policy that is not configured: [`UnknownPolicy`].

use std::fmt;

use crate::nearest_name::did_you_mean;

/// A policy name that the limiter does not know.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[error("{}", unknown(name, known))]
pub struct UnknownPolicy {
    pub(crate) name: String,
    pub(crate) known: Vec<String>,
}

/// The message, as in `Display`: it is what `main() -> Result<(), Box<dyn Error>>`
/// prints.
impl fmt::Debug for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn unknown(name: &str, known: &[String]) -> String {
    let configured = match known {
        [] => "none is configured".to_owned(),
        known => format!("configured are: {}", known.join(", ")),
    };
    if name.is_empty() {
        return format!("no policy is named; {configured}");
    }
    let hint = did_you_mean(name, known.iter().map(String::as_str));
    format!("there is no policy {name:?}; {hint}{configured}")
}

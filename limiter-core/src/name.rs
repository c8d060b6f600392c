//! Rules for names: of policies and groups, and of HTTP fields.

use crate::error::ConfigError;

/// Checks the name of a policy, of a group of bans, or a prefix of Redis keys.
///
/// # Errors
/// If it is not 1 to 64 lower-case letters, digits, `-` and `_`, beginning with
/// a letter.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), ConfigError> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if first && name.len() <= 64 && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(ConfigError::new(format!(
        "{what} name {name:?}: write 1 to 64 lower-case letters, digits, \"-\" and \"_\", \
         beginning with a letter"
    )))
}

/// Returns true for an HTTP field name (RFC 9110, section 5.1) of at most 64 bytes.
pub(crate) fn is_field_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(token)
}

/// Implements `FromStr` for an enum that is written as one of a few words. The
/// error lists all of them.
macro_rules! words {
    ($type:ty: $($word:literal => $value:expr),+ $(,)?) => {
        impl std::str::FromStr for $type {
            type Err = $crate::error::ConfigError;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok($value),)+
                    _ => Err($crate::name::unknown_word(word, &[$($word),+])),
                }
            }
        }
    };
}
pub(crate) use words;

/// The error for a word that is none of `known`.
pub(crate) fn unknown_word(word: &str, known: &[&str]) -> ConfigError {
    let known: Vec<_> = known.iter().map(|word| format!("{word:?}")).collect();
    ConfigError::new(format!("{word:?} is not known; write {}", known.join(" or ")))
}

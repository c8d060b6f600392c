//! The keys and values of a configuration as text, by which two are compared.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::error::ConfigError;

/// The keys that cannot change while the limiter runs: the store is connected, and its
/// memory is laid out.
const FIXED: [&str; 9] = [
    "reload",
    "store",
    "prefix",
    "key_secret",
    "timeout",
    "pool_size",
    "migrate",
    "max_keys",
    "max_bans",
];

/// The keys whose values may hold passwords.
const SECRET: [&str; 2] = ["store", "key_secret"];

/// The most characters of a value in a line.
const SHOWN: usize = 120;

/// The values of a configuration, each under its key, such as `policies.api.quota`. They
/// are compared, and shown; of those that may be secret there is a digest.
#[derive(Clone, Default, Eq, PartialEq)]
pub(crate) struct SettingTexts(BTreeMap<String, String>);

impl SettingTexts {
    pub(crate) fn insert(&mut self, key: &str, value: String) {
        let value = if SECRET.contains(&key) { digest(&value) } else { value };
        self.0.insert(key.to_owned(), value);
    }

    /// Returns the differences of another configuration, one line a key.
    ///
    /// # Errors
    /// If a key differs that cannot change while the limiter runs.
    pub(super) fn changes_to(&self, new: &Self) -> Result<Vec<String>, ConfigError> {
        let mut changes = Vec::new();
        let added = new.0.keys().filter(|key| !self.0.contains_key(*key));
        for key in self.0.keys().chain(added) {
            let (old, new) = (self.0.get(key), new.0.get(key));
            if old == new {
                continue;
            }
            if FIXED.contains(&key.as_str()) {
                let message = "cannot change while the limiter runs; write what it was, or restart";
                return Err(ConfigError::at(key, message));
            }
            changes.push(line(key, old, new));
        }
        changes.sort_unstable();
        Ok(changes)
    }
}

impl fmt::Debug for SettingTexts {
    /// Without the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn line(key: &str, old: Option<&String>, new: Option<&String>) -> String {
    let of_ban = key.contains(".ban.");
    let consequence = match key.rsplit('.').next().unwrap_or_default() {
        "key" => "; counts and bans by the old key hold no more",
        "algorithm" | "segments" => "; what is counted by it starts anew",
        "group" if of_ban => "; strikes and bans of the old group hold no more",
        "window" if of_ban => "; strikes start anew",
        "ipv6_prefix" | "nat64_prefixes" => "; addresses that are cut otherwise start anew",
        _ => "",
    };
    match (old, new) {
        (Some(old), Some(new)) => format!("{key}: {} -> {}{consequence}", cut(old), cut(new)),
        (Some(old), None) => format!("{key}: {} -> nothing{consequence}", cut(old)),
        (None, new) => format!("{key}: now {}", cut(new.map_or("", String::as_str))),
    }
}

fn cut(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} characters)", &value[..end], value.chars().count()),
        None => value.to_owned(),
    }
}

fn digest(value: &str) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> SettingTexts {
        let mut texts = SettingTexts::default();
        for (key, value) in pairs {
            texts.insert(key, (*value).to_owned());
        }
        texts
    }

    #[test]
    fn each_key_that_differs_is_one_line_with_its_consequence() {
        let old = texts(&[("a", "1"), ("policies.x.key", "ip"), ("b", "2")]);
        let new = texts(&[("a", "1"), ("policies.x.key", "user"), ("c", "3")]);
        assert_eq!(old.changes_to(&old).unwrap(), [""; 0]);
        let changes = [
            "b: 2 -> nothing",
            "c: now 3",
            "policies.x.key: ip -> user; counts and bans by the old key hold no more",
        ];
        assert_eq!(old.changes_to(&new).unwrap(), changes);
        let long = texts(&[("a", &"x".repeat(1_000))]);
        assert!(old.changes_to(&long).unwrap()[0].ends_with("... (1000 characters)"));
    }

    #[test]
    fn what_is_fixed_is_named_without_its_value() {
        let (old, new) = ("redis://:secret@a", "redis://:other@a");
        let (old, new) = (texts(&[("store", old)]), texts(&[("store", new)]));
        let error = old.changes_to(&new).unwrap_err().to_string();
        assert!(error.starts_with("store: cannot change"), "{error}");
        assert!(!format!("{error}{old:?}{:?}", new.0).contains("other"), "{error}");
    }
}

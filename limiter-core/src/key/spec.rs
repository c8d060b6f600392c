//! Which facts of a request make the key, as configuration writes it.

use std::{fmt, str::FromStr};

use super::{Key, Kind};
use crate::{
    error::{ConfigError, from_texts},
    name::is_field_name,
};

/// One part of a [`KeySpec`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyPart {
    /// `ip`: the client's address.
    Ip,
    /// `user`: the identity the application's authentication has put into the
    /// request. Without one the address counts, apart from all users.
    User,
    /// `header:<name>`: a request header's value, in lower case here. Without
    /// the header the address counts.
    ///
    /// Since a client chooses its headers, the policy counts its address as
    /// well: see [`Policy::with_per_address`](crate::Policy::with_per_address).
    Header(String),
    /// `endpoint`: the method and the pattern of the matched route.
    Endpoint,
    /// `global`: all clients together.
    Global,
}

/// The facts of a request that a policy counts by: `"ip"`, `"user"`, `"header:x-api-key"`,
/// `"endpoint"`, `"global"`, or a combination of them.
///
/// ```
/// use limiter_core::{KeyPart, KeySpec};
///
/// let spec = KeySpec::parse(["user", "endpoint"])?;
/// assert_eq!(spec.parts(), [KeyPart::User, KeyPart::Endpoint]);
/// assert_eq!(spec.to_string(), "user + endpoint");
///
/// let error = KeySpec::parse(["adress"]).unwrap_err().to_string();
/// assert!(error.contains("adress"), "{error}");
/// # Ok::<(), limiter_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeySpec(Vec<KeyPart>);

impl KeySpec {
    /// Reads the parts of a key.
    ///
    /// # Errors
    /// If there is none, one is unknown or given twice, or `global` has
    /// company.
    pub fn parse<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let parts: Result<Vec<KeyPart>, _> = parts.into_iter().map(str::parse).collect();
        Self::new(parts?)
    }

    /// A key of those parts.
    ///
    /// # Errors
    /// If there is none, one is given twice, or `global` has company.
    pub fn new(parts: impl IntoIterator<Item = KeyPart>) -> Result<Self, ConfigError> {
        let parts: Vec<_> = parts.into_iter().collect();
        if parts.is_empty() {
            return Err(ConfigError::new("a key needs a part, such as \"ip\""));
        }
        if parts.len() > 1 && parts.contains(&KeyPart::Global) {
            return Err(ConfigError::new("\"global\" stands alone; leave it or the others out"));
        }
        let twice = (1..parts.len()).find(|&i| parts[..i].contains(&parts[i]));
        match twice {
            Some(i) => Err(ConfigError::new(format!("\"{}\" is given twice", parts[i]))),
            None => Ok(Self(parts)),
        }
    }

    /// The parts, in the order given.
    #[must_use]
    pub fn parts(&self) -> &[KeyPart] {
        &self.0
    }

    /// Returns true if a ban of such a key hits all clients at once.
    pub(crate) fn names_no_client(&self) -> bool {
        self.0.iter().all(|part| matches!(part, KeyPart::Global | KeyPart::Endpoint))
    }

    /// Returns true if a request may have that key by this rule; also where the key does not
    /// show what it is made of.
    pub(crate) fn may_make(&self, key: &Key) -> bool {
        let kinds: Vec<u8> = key.parts().map(|(kind, _)| kind).collect();
        let is = |kind: u8, any: &[Kind]| any.iter().any(|own| *own as u8 == kind);
        if kinds.iter().any(|kind| is(*kind, &[Kind::Custom, Kind::CustomDigest, Kind::Kept])) {
            return true;
        }
        let may_be = |(part, kind): (&KeyPart, &u8)| {
            let is_address = is(*kind, &[Kind::Ipv4, Kind::Ipv6]);
            match part {
                KeyPart::Ip => is_address,
                KeyPart::User => is_address || is(*kind, &[Kind::User, Kind::UserDigest]),
                KeyPart::Header(_) => is_address || is(*kind, &[Kind::Header]),
                KeyPart::Endpoint => is(*kind, &[Kind::Endpoint, Kind::EndpointDigest]),
                KeyPart::Global => is(*kind, &[Kind::Global]),
            }
        };
        kinds.len() == self.0.len() && self.0.iter().zip(&kinds).all(may_be)
    }

    /// Returns true if a client can choose part of the key.
    pub(crate) fn is_client_chosen(&self) -> bool {
        self.0.iter().any(|part| matches!(part, KeyPart::Header(_)))
    }
}

impl Default for KeySpec {
    fn default() -> Self {
        Self(vec![KeyPart::Ip])
    }
}

impl FromStr for KeyPart {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "ip" => Ok(Self::Ip),
            "user" => Ok(Self::User),
            "endpoint" => Ok(Self::Endpoint),
            "global" => Ok(Self::Global),
            other => match other.strip_prefix("header:") {
                Some(name) if is_field_name(name) => Ok(Self::Header(name.to_ascii_lowercase())),
                _ => Err(ConfigError::new(format!(
                    "{other:?} is no part of a key; write \"ip\", \"user\", \"endpoint\", \
                     \"global\", \"header:<name>\", or a list of them"
                ))),
            },
        }
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::User => f.write_str("user"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Endpoint => f.write_str("endpoint"),
            Self::Global => f.write_str("global"),
        }
    }
}

impl FromStr for KeySpec {
    type Err = ConfigError;

    /// Reads the parts of a key, with `+` between.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text.split('+').map(str::trim))
    }
}

from_texts!(KeySpec);

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" + ")?;
            }
            part.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_keys_are_refused() {
        let table: [(&[&str], &str); 7] = [
            (&[], "needs a part"),
            (&["ip", "ip"], "twice"),
            (&["global", "ip"], "stands alone"),
            (&["IP"], "\"IP\" is no part of a key"),
            (&["header:"], "\"header:\""),
            (&["header:a b"], "header:a b"),
            (&["header:X-A", "header:x-a"], "twice"),
        ];
        for (parts, message) in table {
            let error = KeySpec::parse(parts.iter().copied()).unwrap_err().to_string();
            assert!(error.contains(message), "{parts:?}: {error}");
        }
    }

    #[test]
    fn a_rule_makes_keys_of_its_own_kinds() {
        let (ip, user) = (Key::ip([192, 0, 2, 1].into()), Key::user("alice"));
        let long = Key::user("alice@example.org");
        let endpoint = Key::endpoint("GET", "/x");
        let table: [(&str, &[&Key], &[&Key]); 4] = [
            ("ip", &[&ip, &Key::custom("tenant", "7")], &[&user, &endpoint, &Key::global()]),
            ("user", &[&ip, &user, &long], &[&endpoint, &user.clone().and(ip.clone())]),
            ("ip + endpoint", &[&ip.clone().and(endpoint.clone())], &[&ip, &endpoint]),
            ("global", &[&Key::global()], &[&ip]),
        ];
        for (spec, own, foreign) in table {
            let spec: KeySpec = spec.parse().unwrap();
            assert!(own.iter().all(|key| spec.may_make(key)), "{spec}");
            assert!(!foreign.iter().any(|key| spec.may_make(key)), "{spec}");
        }
    }
}

//! Keys as text: what stores keep them under, and what operators write.

use std::{fmt, net::IpAddr, str::FromStr};

use super::{Key, Kind, address_of, split_name};

/// The longest name.
const MAX_NAME: usize = 80;

impl Key {
    /// The key as text, if it is short (at most 80 bytes), nothing in it is
    /// digested and all characters are plain: `ip=192.0.2.1`,
    /// `user=alice&endpoint=GET:/x`. Two keys never have one name, and
    /// [parsing](str::parse) a name gives the key.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let mut parts = self.parts().map(|(kind, load)| part_name(kind, load));
        let mut name = parts.next()??;
        for part in parts {
            name.push('&');
            name.push_str(&part?);
        }
        Some(name).filter(|name| name.len() <= MAX_NAME)
    }
}

pub(super) fn part_name(kind: u8, payload: &[u8]) -> Option<String> {
    const GLOBAL: u8 = Kind::Global as u8;
    const USER: u8 = Kind::User as u8;
    const ENDPOINT: u8 = Kind::Endpoint as u8;
    const CUSTOM: u8 = Kind::Custom as u8;
    const KEPT: u8 = Kind::Kept as u8;
    let (name, value) = split_name(payload);
    match (kind, address_of(kind, payload)) {
        (GLOBAL, _) => Some("global".to_owned()),
        (_, Some(IpAddr::V4(address))) => Some(v4_name(address.octets())),
        (_, Some(IpAddr::V6(address))) => Some(format!("ip={address}/{}", payload[16])),
        (USER, _) => Some(["user=", plain_text(value)?].concat()),
        (CUSTOM, _) => Some(format!("custom:{}={}", plain_text(name)?, plain_text(value)?)),
        (ENDPOINT, _) => {
            let text = std::str::from_utf8(payload).ok()?;
            let (method, pattern) = text.split_once(' ')?;
            is_plain_pattern(pattern).then(|| format!("endpoint={method}:{pattern}"))
        }
        (KEPT, _) => {
            Some(payload.iter().fold("#".to_owned(), |name, byte| format!("{name}{byte:02x}")))
        }
        _ => None,
    }
}

/// Returns the name of an address of IPv4, which each check in a shared store needs: by
/// `format!` it took 7 % of one in Redis.
fn v4_name(octets: [u8; 4]) -> String {
    let mut name = String::with_capacity("ip=255.255.255.255".len());
    name.push_str("ip");
    for (octet, before) in octets.into_iter().zip(['=', '.', '.', '.']) {
        name.push(before);
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let first = digits.iter().position(|digit| *digit > 0).unwrap_or(2);
        name.extend(digits[first..].iter().map(|digit| char::from(b'0' + digit)));
    }
    name
}

fn is_plain_pattern(pattern: &str) -> bool {
    pattern.starts_with('/') && plain_text(pattern.replace('/', "-").as_bytes()).is_some()
}

/// Letters, digits and `-_.`, so that what joins parts is in none of them.
fn plain_text(bytes: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| plain(&byte)))
}

/// Text that is no key's name.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} names no key; write \"ip=192.0.2.1\", \"ip=2001:db8::/64\", \"user=alice\", \
     \"custom:tenant=7\", \"endpoint=GET:/x\", \"global\", several of them with \"&\" between, \
     or a name from a list of bans"
)]
pub struct ParseKeyError(String);

/// The message, as in `Display`: it is what `main() -> Result<(), Box<dyn Error>>`
/// prints.
impl fmt::Debug for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Key {
    type Err = ParseKeyError;

    /// Reads a [name](Key::name), or a digest that a store has returned.
    ///
    /// # Errors
    /// If it is none.
    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let parts: Option<Vec<Self>> = text.split('&').map(parse_part).collect();
        let key = parts.and_then(|parts| parts.into_iter().reduce(Self::and));
        key.ok_or_else(|| ParseKeyError(text.to_owned()))
    }
}

fn parse_part(text: &str) -> Option<Key> {
    if text == "global" {
        return Some(Key::global());
    }
    if let Some(digest) = text.strip_prefix('#') {
        return parse_digest(digest);
    }
    let (kind, value) = text.split_once('=')?;
    match kind {
        "ip" => parse_network(value),
        "user" => plain_text(value.as_bytes()).map(Key::user),
        "endpoint" => {
            let (method, pattern) = value.split_once(':')?;
            is_plain_pattern(pattern).then(|| Key::endpoint(method, pattern))
        }
        custom => {
            let name = plain_text(custom.strip_prefix("custom:")?.as_bytes())?;
            plain_text(value.as_bytes()).map(|value| Key::custom(name, value))
        }
    }
}

fn parse_network(text: &str) -> Option<Key> {
    match text.split_once('/') {
        None => text.parse().ok().map(Key::ip),
        Some((address, prefix)) => {
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 128)?;
            Some(Key::ip_prefix(address.parse().ok()?, prefix))
        }
    }
}

fn parse_digest(text: &str) -> Option<Key> {
    let digits = text.as_bytes();
    let valid = digits.len() == 32 && digits.iter().all(|d| b"0123456789abcdef".contains(d));
    let bytes: Option<Vec<u8>> =
        (0..32).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    bytes.filter(|_| valid).map(|bytes| Key::part(Kind::Kept, &bytes))
}

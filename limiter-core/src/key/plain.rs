//! Keys as names that stores keep state under.

use std::net::IpAddr;

use super::{Key, Kind, address_of, display::split_name};

impl Key {
    /// The key as a name for stores, if it is short, nothing in it is digested
    /// and all characters are plain: `ip=192.0.2.1`, `user=alice&endpoint=GET:/x`.
    /// Two keys never have one name.
    pub(crate) fn plain(&self) -> Option<String> {
        let parts: Option<Vec<_>> =
            self.parts().map(|(kind, load)| plain_part(kind, load)).collect();
        parts.map(|parts| parts.join("&")).filter(|name| name.len() <= 80)
    }
}

fn plain_part(kind: u8, payload: &[u8]) -> Option<String> {
    const GLOBAL: u8 = Kind::Global as u8;
    const USER: u8 = Kind::User as u8;
    const ENDPOINT: u8 = Kind::Endpoint as u8;
    const CUSTOM: u8 = Kind::Custom as u8;
    let (name, value) = split_name(payload);
    match (kind, address_of(kind, payload)) {
        (GLOBAL, _) => Some("global".to_owned()),
        (_, Some(IpAddr::V4(address))) => Some(format!("ip={address}")),
        (_, Some(IpAddr::V6(address))) => Some(format!("ip={address}/{}", payload[16])),
        (USER, _) => Some(format!("user={}", plain_text(value)?)),
        (CUSTOM, _) => Some(format!("custom:{}={}", plain_text(name)?, plain_text(value)?)),
        (ENDPOINT, _) => {
            let text = std::str::from_utf8(payload).ok()?;
            let (method, pattern) = text.split_once(' ')?;
            let rooted = pattern.strip_prefix('/')?.replace('/', "-");
            plain_text(rooted.as_bytes())?;
            Some(format!("endpoint={method}:{pattern}"))
        }
        _ => None,
    }
}

/// Letters, digits and `-_.`, so that what joins parts is in none of them.
fn plain_text(bytes: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| plain(&byte)))
}

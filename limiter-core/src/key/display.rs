//! Keys for people to read, without what may be secret.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use super::{Key, Kind, split_name, text_form::part_name};

impl fmt::Display for Key {
    /// The [name](Key::name); of parts that have none the text, escaped, or
    /// where it may be secret a mark that is the same within a process and
    /// says nothing outside it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, payload)) in self.parts().enumerate() {
            if index > 0 {
                f.write_str("&")?;
            }
            match part_name(kind, payload) {
                Some(name) => f.write_str(&name)?,
                None => write_part(f, kind, payload)?,
            }
        }
        Ok(())
    }
}

fn write_part(f: &mut fmt::Formatter<'_>, kind: u8, payload: &[u8]) -> fmt::Result {
    let (name, value) = split_name(payload);
    let name = name.escape_ascii();
    const USER_DIGEST: u8 = Kind::UserDigest as u8;
    const HEADER: u8 = Kind::Header as u8;
    const ENDPOINT: u8 = Kind::Endpoint as u8;
    const ENDPOINT_DIGEST: u8 = Kind::EndpointDigest as u8;
    const CUSTOM: u8 = Kind::Custom as u8;
    match kind {
        USER_DIGEST => write!(f, "user={}", Redacted(value)),
        HEADER => write!(f, "header:{name}={}", Redacted(value)),
        ENDPOINT => write!(f, "endpoint={}", payload.escape_ascii()),
        ENDPOINT_DIGEST => write!(f, "endpoint={}", Redacted(value)),
        CUSTOM => write!(f, "custom:{name}={}", value.escape_ascii()),
        _ => write!(f, "custom:{name}={}", Redacted(value)),
    }
}

/// Stands for a digest without telling it: keyed by a secret of this process.
struct Redacted<'a>(&'a [u8]);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static SECRET: OnceLock<RandomState> = OnceLock::new();
        let mark = SECRET.get_or_init(RandomState::new).hash_one(self.0);
        write!(f, "#{mark:016x}")
    }
}

/// Writes the text of `Display`.
impl serde::Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

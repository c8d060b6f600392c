//! The keyed hash of a client's key, under which shared stores keep state: who reads the
//! database does not learn API keys, users or tokens.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::key::Key;

/// Makes names of keys: readable where every part is short and plain, such as
/// `ip=192.0.2.1`, and else a keyed digest.
///
/// 128 bits of HMAC-SHA256 (RFC 2104) tell n keys apart but for a chance of
/// about `n^2 / 2^129`.
#[derive(Clone)]
pub(in crate::store) struct KeyHasher {
    secret: Vec<u8>,
}

impl KeyHasher {
    pub(in crate::store) fn new(secret: &[u8]) -> Self {
        Self { secret: secret.to_owned() }
    }

    /// The name of the key, without parts that may be secret: ASCII letters, digits and
    /// `-_./:=&#*`, at most 80 of them.
    pub(in crate::store) fn client(&self, key: &Key) -> String {
        if let Some(name) = key.name() {
            return name;
        }
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(key.as_bytes());
        let mut name = String::from("#");
        for byte in &mac.finalize().into_bytes()[..16] {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}

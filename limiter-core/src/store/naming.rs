//! The names that shared stores keep state under.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{key::Key, policy::Scope};

/// Makes names of keys: readable where every part is short and plain, such as
/// `ip=192.0.2.1`, and else a keyed digest.
///
/// 128 bits of HMAC-SHA256 (RFC 2104) tell n keys apart but for a chance of
/// about `n^2 / 2^129`.
#[derive(Clone)]
pub(super) struct Naming {
    prefix: String,
    secret: Vec<u8>,
}

impl std::fmt::Debug for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Naming").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Naming {
    pub(super) fn new(prefix: &str, secret: &[u8]) -> Self {
        Self { prefix: prefix.to_owned(), secret: secret.to_owned() }
    }

    /// Who the key is, without what may be secret.
    pub(super) fn client(&self, key: &Key) -> String {
        if let Some(plain) = key.plain() {
            return plain;
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

    /// The names of a client's counter, strikes and ban. What is in braces is
    /// what a Redis cluster places by: all of a client's state is in one slot.
    pub(super) fn names(&self, client: &str, scope: Scope) -> [String; 3] {
        let Self { prefix, .. } = self;
        [('c', scope.counters), ('s', scope.strikes), ('b', scope.bans)]
            .map(|(kind, scope)| format!("{prefix}:{{{client}}}:{kind}{scope:016x}"))
    }
}

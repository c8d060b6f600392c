//! The names under which stores keep a policy's state: [`Namespaces`].

use sha2::{Digest, Sha256};

use super::Mode;
use crate::ban::BanRule;

/// The layout of what stores keep. State of another layout starts anew.
const LAYOUT: u8 = 1;

/// The namespaces under which stores keep a policy's state, each key by itself. They
/// are digests, and the same in every process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Namespaces {
    /// Namespace of the counters: a digest of name and layout. The states in it are told
    /// apart by [`Policy::quota_ids`](super::Policy::quota_ids).
    pub counters: u64,
    /// Namespace of bans: a digest of the group's name, or of the policy's own.
    pub bans: u64,
    /// Namespace of strikes: that of bans, with the window in which they count.
    pub strikes: u64,
}

impl Namespaces {
    /// The namespaces of a policy. A shadow policy has its own, so that nobody is
    /// banned or refused for what happened in the shadow once it is enforced.
    pub(super) fn of(name: &str, mode: Mode, ban: Option<&BanRule>) -> Self {
        let shadow: &[u8] = if mode == Mode::Shadow { b"shadow " } else { b"" };
        let mut counters = Sha256::new();
        counters.update([LAYOUT, b'c']);
        counters.update(shadow);
        counters.update(name);
        let group = ban.and_then(BanRule::group);
        let mut bans = Sha256::new();
        bans.update([LAYOUT, if group.is_some() { b'g' } else { b'p' }]);
        bans.update(shadow);
        bans.update(group.unwrap_or(name));
        let mut strikes = bans.clone();
        if let Some(ban) = ban {
            strikes.update([0]);
            strikes.update(ban.strikes().window_micros().to_be_bytes());
        }
        Self {
            counters: first_eight(counters),
            bans: first_eight(bans),
            strikes: first_eight(strikes),
        }
    }
}

fn first_eight(digest: Sha256) -> u64 {
    digest.finalize()[..8].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

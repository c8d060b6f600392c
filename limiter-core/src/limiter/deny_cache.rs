//! The deny cache: refusals that a shared store has told need not be asked for
//! again, up to a second.
//!
//! It never admits. What it keeps ends when the same request would pass, counted
//! from before the store was asked, so that a client that keeps knocking gets all
//! that it is entitled to. After a second one request asks again, while the
//! others are still answered from here; so a refused client costs one call a
//! second. Where refusals strike, only bans are kept, so that strikes go on
//! counting.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{policy::EvictionPolicy, sync::Cache};
use smallvec::SmallVec;

use crate::{
    algorithm::Wait,
    ban::BanRule,
    decision::{Decision, Verdict},
    key::Key,
    policy::Mode,
    store::Check,
};

/// How long a refusal is believed without asking again.
const FRESH: Duration = Duration::from_secs(1);

/// How many refusals are kept.
const CAPACITY: u64 = 100_000;

pub(super) struct DenyCache {
    cache: Cache<Name, Arc<Entry>>,
    /// Whether anything was ever kept: a store in memory needs none of this.
    used: AtomicBool,
}

/// Policies, whom they count, and the cost.
#[derive(Clone, Eq, Hash, PartialEq)]
struct Name(SmallVec<[(u64, bool, Key); 1]>, u64);

impl Name {
    fn of(check: &Check<'_>) -> Self {
        let item = |item: crate::store::Item<'_>| {
            (item.policy.scope().counters, item.subject.bannable, item.subject.key.clone())
        };
        Self(check.items().map(item).collect(), check.cost())
    }
}

struct Entry {
    decision: Decision,
    /// When the store was asked.
    sent: Instant,
    /// Whether somebody is asking again.
    asking: AtomicBool,
}

impl Default for DenyCache {
    fn default() -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(60 * FRESH)
            .build();
        Self { cache, used: AtomicBool::new(false) }
    }
}

impl fmt::Debug for DenyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DenyCache({})", self.cache.entry_count())
    }
}

impl DenyCache {
    /// Whether a refusal was ever kept.
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// The refusal, as it is now; `None` if the store is to be asked.
    pub(super) fn get(&self, check: &Check<'_>) -> Option<Decision> {
        if !self.is_used() {
            return None;
        }
        let entry = self.cache.get(&Name::of(check))?;
        let age = entry.sent.elapsed();
        let Wait::Micros(wait) = entry.decision.wait() else { return None };
        if age >= Duration::from_micros(wait) {
            return None;
        }
        if age >= FRESH && !entry.asking.swap(true, Ordering::Relaxed) {
            return None;
        }
        // Whoever asks again may have gone away.
        if age >= 2 * FRESH {
            return None;
        }
        Some(entry.decision.aged(age))
    }

    /// Keeps what the store, asked at `sent`, has told, if that is a refusal to
    /// keep; else forgets what it has told before.
    pub(super) fn put(&self, check: &Check<'_>, decision: &Decision, sent: Instant) {
        let timed = matches!(decision.wait(), Wait::Micros(_));
        let keep = timed
            && match decision.verdict {
                Verdict::Banned => true,
                Verdict::Limited => !strikes(check),
                Verdict::Allowed => false,
            };
        if keep {
            self.used.store(true, Ordering::Relaxed);
            let decision = decision.clone();
            let entry = Entry { decision, sent, asking: AtomicBool::new(false) };
            self.cache.insert(Name::of(check), Arc::new(entry));
        } else if self.is_used() {
            self.cache.invalidate(&Name::of(check));
        }
    }

    /// Forgets everything: something was changed by hand.
    pub(super) fn clear(&self) {
        self.cache.invalidate_all();
    }
}

/// Whether a refusal of this check may be a strike.
fn strikes(check: &Check<'_>) -> bool {
    check.items().any(|item| {
        item.policy.mode() == Mode::Enforce
            && item.subject.bannable
            && item.policy.ban().is_some_and(BanRule::strikes_on_refusal)
    })
}

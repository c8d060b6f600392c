//! Leased quota: for a key that this process checks often, a slice of its budget is charged to
//! the store in one call, and requests are admitted from it in memory.
//!
//! - A slice is charged when it is taken, so that all processes together never admit more than
//!   the store has charged. It holds for [`LIFE`] at most, and no longer than the window or segment
//!   that was charged; then what is not used is given back, into that window. The slice of a
//!   process that dies stays charged, and runs out as any charge does.
//! - A slice is as much as the key has used within [`LIFE`], by a measurement of 50 to 250 ms,
//!   and at most a sixteenth of the room that the store had left. Slices of a fixed size lock
//!   quotas of a few units up: they admit 36 % of them.
//! - Whatever a slice does not admit, the store decides exactly: the first requests of a key, those
//!   that arrive while a slice is taken, and each one once there is little room. Units in
//!   slices are charged units for it, also those of its own process, which come back with the
//!   end of the slice.
//!
//! The table of keys has a fixed size. A key without a slice makes room for another.

mod check_leased;
mod give_back;
mod slice;
#[cfg(all(test, feature = "memory"))]
mod tests;
mod tracked_key;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, OnceLock, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use self::{slice::Remainder, tracked_key::TrackedKey};
use crate::{
    check::{Check, Item},
    policy::Policy,
    store::Store,
    time::{Clock, SystemClock, Timestamp},
};

/// The longest time for which a slice admits.
const LIFE: Duration = Duration::from_millis(250);

/// The least time after which a key's use is measured anew.
const MIN_PERIOD: Duration = Duration::from_millis(50);

/// A key is leased that has more checks within [`LIFE`]: 100 a second.
const MIN_REQUESTS: u64 = 25;

/// The part of the room that one slice takes at most.
const ROOM_SHARE: u64 = 16;

/// The units of the smallest slice: smaller ones would not save enough calls.
const MIN_SLICE: u64 = 8;

/// Shards of the table of keys, and the most keys of one shard.
const SHARDS: usize = 256;
const SHARD_KEYS: usize = 16;

/// The keys that this process checks under policies with leases, and their slices.
pub(super) struct Leases {
    clock: Arc<dyn Clock>,
    shards: Box<[Shard]>,
    hasher: RandomState,
    /// True if there ever was a key: most limiters have no leases.
    is_used: AtomicBool,
    /// True while a task gives back what slices that have ended have left.
    is_sweeping: AtomicBool,
    /// The runtime on which the first slice was taken, if it was on one.
    runtime: OnceLock<tokio::runtime::Handle>,
}

type Shard = RwLock<Vec<Arc<TrackedKey>>>;

impl Leases {
    /// Returns the leases by that clock, or else the system's.
    pub(super) fn new(clock: Option<Arc<dyn Clock>>) -> Self {
        Self {
            clock: clock.unwrap_or(Arc::new(SystemClock)),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
            is_used: AtomicBool::new(false),
            is_sweeping: AtomicBool::new(false),
            runtime: OnceLock::new(),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the key of a check. `None` if it is new, and all keys of its shard have a slice.
    fn track(&self, check: &Check<'_>, now: Timestamp) -> Option<Arc<TrackedKey>> {
        let part =
            |item: Item<'_>| self.hasher.hash_one((item.policy.address(), &item.subject.key));
        let hash = check.items().map(part).fold(0, |hash: u64, part| hash.rotate_left(5) ^ part);
        let shard = &self.shards[hash as usize % SHARDS];
        let known = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.iter().find(|key| key.is_of(check)) {
            return Some(Arc::clone(key));
        }
        drop(known);
        self.is_used.store(true, Ordering::Relaxed);
        let mut keys = write(shard);
        if let Some(key) = keys.iter().find(|key| key.is_of(check)) {
            return Some(Arc::clone(key));
        }
        let key = Arc::new(TrackedKey::new(check, now));
        if keys.len() < SHARD_KEYS {
            keys.push(Arc::clone(&key));
            return Some(key);
        }
        let idle = keys.iter_mut().filter(|key| key.is_idle());
        let least_used = idle.min_by_key(|key| key.recent_use(now))?;
        // A slice that another request is about to put there is given back.
        least_used.close(true);
        *least_used = Arc::clone(&key);
        Some(key)
    }

    /// Takes those keys out of the table. Their slices end: `gives_back` says if what is left
    /// of them is given back.
    fn end(&self, is_meant: impl Fn(&TrackedKey) -> bool, gives_back: bool) -> Vec<Remainder> {
        let mut remainders = Vec::new();
        if !self.is_used.load(Ordering::Relaxed) {
            return remainders;
        }
        for shard in &self.shards {
            write(shard).retain(|key| {
                let is_meant = is_meant(key);
                if is_meant {
                    remainders.extend(key.close(gives_back));
                }
                !is_meant
            });
        }
        remainders
    }

    /// Returns what is left of slices that have ended at `now`, and if there are others.
    fn sweep(&self, now: Timestamp) -> Swept {
        let mut swept = Swept { remainders: Vec::new(), has_slices: false };
        for shard in &self.shards {
            for key in shard.read().unwrap_or_else(PoisonError::into_inner).iter() {
                swept.remainders.extend(key.end_slice(now));
                swept.has_slices |= key.has_slice();
            }
        }
        swept
    }
}

/// The result of a sweep over all slices.
struct Swept {
    remainders: Vec<Remainder>,
    has_slices: bool,
}

/// A shard is whole after each change, so a poisoned lock is taken all the same.
fn write(shard: &Shard) -> RwLockWriteGuard<'_, Vec<Arc<TrackedKey>>> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: usize = self.shards.iter().map(|shard| write(shard).len()).sum();
        write!(f, "Leases({keys} keys, sweeping: {})", self.is_sweeping.load(Ordering::Relaxed))
    }
}

/// Warns of policies whose `lease` has no effect.
pub(super) fn warn_of_vain_leases<'a>(
    store: &dyn Store,
    policies: impl Iterator<Item = &'a Policy>,
) {
    #[cfg(feature = "memory")]
    let is_memory = store.as_memory().is_some();
    #[cfg(not(feature = "memory"))]
    let is_memory = {
        let _ = store;
        false
    };
    for policy in policies.filter(|policy| policy.has_lease()) {
        let burst = policy.quotas().iter().map(|quota| quota.burst()).min().unwrap_or(0);
        if is_memory {
            tracing::info!(policy = policy.name(), "lease has no effect: the store is in memory");
        } else if burst < MIN_SLICE * ROOM_SHARE {
            tracing::warn!(
                policy = policy.name(),
                "lease has no effect: a slice is a sixteenth of the quota at most, and {burst} \
                 units are too few; leave it out"
            );
        }
    }
}

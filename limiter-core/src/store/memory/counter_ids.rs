//! The ids of counters: 16 bits that stand for a [`CounterSpec`], so that a slot of
//! the table has room for it.
//!
//! However many quotas there are over the life of a process, 16 bits are enough: ids
//! that no slot uses any more are given to other counters. While so many are in use
//! that few are left, a counter whose namespace has an id shares it; what it keeps is
//! then written in full, since the numbers of another quota are not to be read from it.

use std::{
    collections::HashMap,
    num::NonZeroU16,
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Shared, locking::LockedSegments, table::Location};
use crate::{
    error::StoreError,
    policy::{CachedId, Counter, CounterSpec},
    quota::Quota,
};

/// Stands for a [`CounterSpec`].
pub(super) type Id = NonZeroU16;

#[derive(Debug)]
pub(super) struct CounterIds {
    /// Differs from store to store, and changes when ids are given to other
    /// counters: ids that were cached before are void then.
    token: AtomicU64,
    /// Held by whoever looks an id up, so that none is given while unused ones
    /// are collected: when that was last.
    assigning: Mutex<Option<Instant>>,
    /// True if a counter ever had the id of another.
    shares: AtomicBool,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By namespace and quota.
    ids: HashMap<(u64, Quota), Id>,
    /// By id; the one of 0 is never used.
    specs: Vec<Option<CounterSpec>>,
    free: Vec<Id>,
    /// One of the ids of each namespace.
    of_namespace: HashMap<u64, Id>,
}

/// All that can be kept at once.
const MOST: usize = u16::MAX as usize;

/// Ids that are left to namespaces that have none yet.
const RESERVED: usize = 4_096;

/// How often unused ids are collected at most: each slot of the table is read for it.
const COLLECT_EVERY: Duration = Duration::from_secs(1);

impl CounterIds {
    pub(super) fn new() -> Self {
        Self {
            token: fresh_token().into(),
            assigning: Mutex::default(),
            shares: AtomicBool::new(false),
            known: RwLock::default(),
        }
    }

    /// Returns the token: while it is the same, ids stand for the same counters.
    pub(super) fn token(&self) -> u64 {
        self.token.load(Ordering::Acquire)
    }

    /// Returns what the id of a slot stands for. It stands for the same while the
    /// lock of the slot's segment is held.
    pub(super) fn spec(&self, id: Id) -> Option<CounterSpec> {
        self.read().specs.get(usize::from(id.get())).copied().flatten()
    }

    /// Returns whether that id is of another quota than the counter's.
    #[inline]
    pub(super) fn is_shared(&self, id: Id, spec: &CounterSpec) -> bool {
        self.shares.load(Ordering::Relaxed)
            && self.spec(id).is_some_and(|owner| owner.quota != spec.quota)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the id of a counter, if it is cached.
    #[inline]
    pub(super) fn cached(&self, id: &CachedId) -> Option<Id> {
        id.get(self.token()).and_then(Id::new)
    }

    /// Returns the id of a counter. `in_use` is called where there are none left,
    /// and returns which ids slots have.
    ///
    /// # Errors
    /// If all ids are in use.
    pub(super) fn id(
        &self,
        counter: &Counter,
        in_use: impl FnOnce() -> Vec<bool>,
    ) -> Result<Id, StoreError> {
        if let Some(id) = self.cached(&counter.id) {
            return Ok(id);
        }
        let mut collected = self.assigning.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = counter.spec;
        let known = self.read().ids.get(&(spec.namespace, spec.quota)).copied();
        let id = match known {
            Some(id) => id,
            None => self.assign(spec, &mut collected, in_use)?,
        };
        // A shared id is looked up each time: the fast paths do not write in full.
        if !self.is_shared(id, &spec) {
            counter.id.set(self.token(), id.get());
        }
        Ok(id)
    }

    fn assign(
        &self,
        spec: CounterSpec,
        collected: &mut Option<Instant>,
        in_use: impl FnOnce() -> Vec<bool>,
    ) -> Result<Id, StoreError> {
        let is_due = collected.is_none_or(|at| at.elapsed() >= COLLECT_EVERY);
        if self.read().is_scarce(spec.namespace) && is_due {
            self.collect(in_use);
            *collected = Some(Instant::now());
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.is_scarce(spec.namespace)
            && let Some(shared) = known.of_namespace.get(&spec.namespace)
        {
            self.shares.store(true, Ordering::Relaxed);
            return Ok(*shared);
        }
        known.add(spec).ok_or_else(|| {
            StoreError::not_applied(format!("more than {MOST} different quotas are in use"))
        })
    }

    fn collect(&self, in_use: impl FnOnce() -> Vec<bool>) {
        // Whoever has an id of before sees, once it holds its locks, that the token has
        // changed; what it wrote until then is seen here.
        self.token.store(fresh_token(), Ordering::Release);
        let in_use = in_use();
        self.known.write().unwrap_or_else(PoisonError::into_inner).retain(&in_use);
    }
}

impl Known {
    /// Returns whether a namespace is not to have one more id.
    fn is_scarce(&self, namespace: u64) -> bool {
        let left = self.free.len() + (MOST + 1).saturating_sub(self.specs.len());
        let reserved = if self.of_namespace.contains_key(&namespace) { RESERVED } else { 0 };
        left <= reserved
    }

    fn retain(&mut self, in_use: &[bool]) {
        let Self { ids, specs, free, of_namespace } = self;
        ids.retain(|_, id| {
            let kept = in_use.get(usize::from(id.get())).copied().unwrap_or_default();
            if !kept {
                specs[usize::from(id.get())] = None;
                free.push(*id);
            }
            kept
        });
        *of_namespace = ids.iter().map(|((namespace, _), id)| (*namespace, *id)).collect();
    }

    fn add(&mut self, spec: CounterSpec) -> Option<Id> {
        if self.specs.is_empty() {
            self.specs.push(None);
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let next = u16::try_from(self.specs.len()).ok().and_then(Id::new)?;
                self.specs.push(None);
                next
            }
        };
        self.specs[usize::from(id.get())] = Some(spec);
        self.ids.insert((spec.namespace, spec.quota), id);
        self.of_namespace.insert(spec.namespace, id);
        Some(id)
    }
}

/// 48 bits, so that a cached id has room beside it.
fn fresh_token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Shared {
    /// Returns which ids stand for something that is in force. Slots whose state
    /// has expired are freed, since their ids are wanted.
    pub(super) fn ids_in_use(&self) -> Vec<bool> {
        let mut in_use = vec![false; 1 + usize::from(u16::MAX)];
        for bucket in self.table.needed_buckets() {
            // Also of one that looks empty: a check may be about to write to it.
            let location = Location { digest: 0, bucket };
            let mut locked = LockedSegments::lock(self, &[location]);
            for slot in locked.bucket(bucket).all_slots() {
                let Some(id) = slot.tag().id() else { continue };
                if !locked.free_if_expired(bucket, slot) {
                    in_use[usize::from(id.get())] = true;
                }
            }
        }
        in_use
    }
}

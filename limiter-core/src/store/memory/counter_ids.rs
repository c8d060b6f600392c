//! What records count: an [`Id`] stands for a quota and for whose it is, so that
//! a record need not say it.
//!
//! Ids are few enough for sixteen bits, however many quotas there are over the
//! life of a process: those that no record uses any more are given to others.

use std::{
    collections::HashMap,
    num::NonZeroU16,
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    error::StoreError,
    policy::{Counted, Hint, Kind},
    quota::Quota,
};

/// Stands for a [`Kind`].
pub(super) type Id = NonZeroU16;

#[derive(Debug)]
pub(super) struct Kinds {
    /// Differs from store to store, and changes when ids are given to others:
    /// hints of before are void.
    token: AtomicU64,
    /// Held by whoever looks an id up, so that none is given while unused ones
    /// are being looked for.
    assigning: Mutex<()>,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    ids: HashMap<(u64, Quota), Id>,
    /// By id; the one of 0 is never used.
    kinds: Vec<Option<Kind>>,
    free: Vec<Id>,
}

/// All that can be kept at once.
const MOST: usize = u16::MAX as usize;

impl Kinds {
    pub(super) fn new() -> Self {
        Self { token: fresh_token().into(), assigning: Mutex::default(), known: RwLock::default() }
    }

    /// While that is the same, ids stand for the same.
    pub(super) fn token(&self) -> u64 {
        self.token.load(Ordering::Acquire)
    }

    pub(super) fn all(&self) -> AllKinds<'_> {
        AllKinds(self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The id of what is counted, if it is at hand.
    #[inline]
    pub(super) fn hinted(&self, hint: &Hint) -> Option<Id> {
        hint.get(self.token()).and_then(Id::new)
    }

    /// The id of what is counted. `in_use` tells which ids records have, where
    /// there are none left.
    pub(super) fn id(
        &self,
        counted: &Counted,
        in_use: impl FnOnce() -> Vec<bool>,
    ) -> Result<Id, StoreError> {
        if let Some(id) = self.hinted(&counted.id) {
            return Ok(id);
        }
        let _assigning = self.assigning.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = counted.kind;
        let known = self.all().0.ids.get(&(kind.scope, kind.quota)).copied();
        let id = match known {
            Some(id) => id,
            None => self.assign(kind, in_use)?,
        };
        counted.id.set(self.token(), id.get());
        Ok(id)
    }

    fn assign(&self, kind: Kind, in_use: impl FnOnce() -> Vec<bool>) -> Result<Id, StoreError> {
        if self.all().0.is_full() {
            // Whoever has an id of before sees, once it holds its locks, that
            // the token has changed; what it wrote until then is seen here.
            self.token.store(fresh_token(), Ordering::Release);
            let in_use = in_use();
            self.known.write().unwrap_or_else(PoisonError::into_inner).retain(&in_use);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.add(kind).ok_or_else(|| {
            StoreError::not_applied(format!("more than {MOST} different quotas are in use"))
        })
    }
}

impl Known {
    fn is_full(&self) -> bool {
        self.free.is_empty() && self.kinds.len() > MOST
    }

    fn retain(&mut self, in_use: &[bool]) {
        let Self { ids, kinds, free } = self;
        ids.retain(|_, id| {
            let kept = in_use.get(usize::from(id.get())).copied().unwrap_or_default();
            if !kept {
                kinds[usize::from(id.get())] = None;
                free.push(*id);
            }
            kept
        });
    }

    fn add(&mut self, kind: Kind) -> Option<Id> {
        if self.kinds.is_empty() {
            self.kinds.push(None);
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let next = u16::try_from(self.kinds.len()).ok().and_then(Id::new)?;
                self.kinds.push(None);
                next
            }
        };
        self.kinds[usize::from(id.get())] = Some(kind);
        self.ids.insert((kind.scope, kind.quota), id);
        Some(id)
    }
}

/// All kinds, none of which changes meanwhile.
pub(super) struct AllKinds<'a>(RwLockReadGuard<'a, Known>);

impl AllKinds<'_> {
    pub(super) fn get(&self, id: Id) -> Option<&Kind> {
        self.0.kinds.get(usize::from(id.get()))?.as_ref()
    }
}

/// 48 bits, so that a hint has room for an id beside it.
fn fresh_token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

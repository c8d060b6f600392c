//! What a request has met on its way through nested limiters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::PolicySet;
use crate::{
    key::Key,
    policy::Policy,
    request::Subjects,
    store::{Item, Subject},
};

/// What one request has been charged by, and against whom it was a strike, so
/// that each happens once. Adapters keep one with each request; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Met(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    charged: SmallVec<[Name; 1]>,
    struck: Vec<Name>,
}

/// A limiter, a scope of its state, and a key.
type Name = (usize, u64, Key);

impl Met {
    /// Notes that the request was charged by that set; a look at a cost of 0 is
    /// nothing to note.
    pub fn note(&self, set: &PolicySet, subjects: &Subjects) {
        let items = set.policies().iter().zip(subjects);
        self.lock().charged.extend(
            items.map(|(policy, subject)| name(set, policy.scope().counters, &subject.key)),
        );
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().charged.is_empty()
    }

    pub(super) fn charged(&self, set: &PolicySet, policy: &Policy, subject: &Subject) -> bool {
        self.lock().charged.contains(&name(set, policy.scope().counters, &subject.key))
    }

    /// Notes a strike; false if it was noted before.
    pub(super) fn strike(&self, set: &PolicySet, item: &Item<'_>) -> bool {
        let name = name(set, item.policy.scope().bans, &item.subject.key);
        let struck = &mut self.lock().struck;
        let new = !struck.contains(&name);
        if new {
            struck.push(name);
        }
        new
    }

    /// Notes are whole after each call, so a poisoned lock is taken all the same.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(set: &PolicySet, scope: u64, key: &Key) -> Name {
    (Arc::as_ptr(&set.limiter().0) as usize, scope, key.clone())
}

//! A request that a limit has let pass: [`Permit`].

use std::{
    iter,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Admission, Limiter, PolicySet};
use crate::{
    decision::Decision,
    key::Key,
    policy::Policy,
    request::Subjects,
    response::headers::Fields,
    store::{Item, Subject},
};

/// A request that a limit has let pass, from [`Admission::admit`]: what was decided,
/// what its client is told, and what it comes to in the end.
///
/// Clones share it. Adapters keep the last one with each request, so that a
/// limit further on finds what the request has passed before.
#[derive(Clone, Debug)]
pub struct Permit(Arc<Inner_>);

#[derive(Debug)]
struct Inner_ {
    policies: PolicySet,
    subjects: Subjects,
    decision: Decision,
    /// Whether it was charged: a look is nothing to be told of further on.
    charged: bool,
    before: Option<Permit>,
    /// Whom the request was a strike against. The first pass keeps it for all.
    struck: Mutex<Vec<Struck>>,
}

/// A limiter, a scope of its bans, and a key.
type Struck = (usize, u64, Key);

impl Permit {
    pub(super) fn new(ask: Admission, decision: Decision) -> Self {
        let Admission { policies, subjects, cost, before, .. } = ask;
        let struck = Mutex::default();
        Self(Arc::new(Inner_ { policies, subjects, decision, charged: cost > 0, before, struck }))
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.0.decision
    }

    /// The policies that were asked.
    #[must_use]
    pub fn policies(&self) -> &PolicySet {
        &self.0.policies
    }

    /// The header fields that tell the client: see [`PolicySet::fields`].
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        self.0.policies.fields(&self.0.decision)
    }

    /// This pass, and those that the same request has got before, the first one
    /// last.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |pass| pass.0.before.as_ref())
    }

    pub(super) fn subjects(&self) -> &Subjects {
        &self.0.subjects
    }

    /// Whether the request was charged here by that policy for that subject.
    pub(super) fn has_charged(
        &self,
        limiter: &Limiter,
        policy: &Policy,
        subject: &Subject,
    ) -> bool {
        let mut items = self.0.policies.policies().iter().zip(&self.0.subjects);
        self.0.charged
            && id(self.0.policies.limiter()) == id(limiter)
            && items.any(|(own, counted)| {
                own.scope().counters == policy.scope().counters && counted.key == subject.key
            })
    }

    /// Notes a strike; false if the request has been one already.
    pub(super) fn strike(&self, item: &Item<'_>) -> bool {
        let name =
            (id(self.0.policies.limiter()), item.policy.scope().bans, item.subject.key.clone());
        let first = self.chain().last().unwrap_or(self);
        // It is whole after each change, so a poisoned lock is taken all the same.
        let mut struck = first.0.struck.lock().unwrap_or_else(PoisonError::into_inner);
        let new = !struck.contains(&name);
        if new {
            struck.push(name);
        }
        new
    }
}

fn id(limiter: &Limiter) -> usize {
    Arc::as_ptr(&limiter.0) as usize
}

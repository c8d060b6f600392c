//! The state that guards find in Rocket: [`LimiterState`].

use std::sync::{PoisonError, RwLock};

use limiter_core::{Limiter, PolicySet, UnknownPolicy};

/// The limiter, and the policies of the guards.
#[derive(Debug)]
pub(crate) struct LimiterState {
    limiter: Limiter,
    /// The policies of each list of names, looked up once a reload.
    guards: RwLock<Vec<(Names, PolicySet)>>,
}

/// The names of a guard's policies, as its type has them.
pub(crate) type Names = &'static [&'static str];

impl LimiterState {
    pub(crate) fn new(limiter: Limiter) -> Self {
        Self { limiter, guards: RwLock::default() }
    }

    pub(crate) const fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Returns true if a guard has looked its policies up, as each does at launch.
    pub(crate) fn has_guards(&self) -> bool {
        !self.guards.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn policies(&self, names: Names) -> Result<PolicySet, UnknownPolicy> {
        // The lists are few, and nearly always found: nothing is faster than a
        // look at each. The same list at another place is another entry.
        let is_own = |(own, _): &&(Names, PolicySet)| std::ptr::eq(*own, names);
        let known = self.guards.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, policies)) = known.iter().find(is_own)
            && policies.is_current()
        {
            return Ok(policies.clone());
        }
        drop(known);
        let policies = self.limiter.policies(names.iter().copied())?;
        let mut guards = self.guards.write().unwrap_or_else(PoisonError::into_inner);
        guards.retain(|known| !is_own(&known));
        guards.push((names, policies.clone()));
        Ok(policies)
    }
}

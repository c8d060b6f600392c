//! What the memory store has found out about a policy, kept with the policy so
//! that the next check need not look for it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{algorithm::Grain, quota::Quotas};

#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    /// One a quota.
    pub(crate) quotas: Box<[(Hint, Grain)]>,
    pub(crate) strikes: Hint,
}

impl Hints {
    pub(super) fn of(quotas: &Quotas) -> Self {
        let quotas = quotas.iter().map(|quota| (Hint::default(), Grain::of(quota)));
        Self { quotas: quotas.collect(), strikes: Hint::default() }
    }
}

/// A number of 16 bits, and by whom it was given: a token of 48 bits.
#[derive(Debug, Default)]
pub(crate) struct Hint(AtomicU64);

impl Hint {
    /// The number, if it was given under that token.
    pub(crate) fn get(&self, token: u64) -> Option<u16> {
        let hint = self.0.load(Ordering::Relaxed);
        (hint >> 16 == token).then_some((hint & 0xffff) as u16)
    }

    pub(crate) fn set(&self, token: u64, number: u16) {
        self.0.store(token << 16 | u64::from(number), Ordering::Relaxed);
    }
}

impl Clone for Hint {
    /// Of another policy, that is: it is to be found anew.
    fn clone(&self) -> Self {
        Self::default()
    }
}

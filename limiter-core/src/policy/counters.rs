//! What the memory store counts for a policy, and what it has found out about
//! that, kept with the policy so that the next check need not look for it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Namespaces;
use crate::{
    algorithm::CompactTat,
    ban::BanRule,
    quota::{Quota, Quotas},
};

/// What is counted, and by which numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Of a policy's quota, or of strikes.
    pub(crate) scope: u64,
    pub(crate) quota: Quota,
    pub(crate) grain: CompactTat,
    /// Whether a newcomer inherits what a key has used when it displaces it.
    /// Strikes are not inherited: nobody is banned for another's failures.
    pub(crate) inherited: bool,
}

impl Kind {
    fn new(scope: u64, quota: Quota, inherited: bool) -> Self {
        Self { scope, quota, grain: CompactTat::of(&quota), inherited }
    }
}

/// A kind, and the number that stands for it.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) kind: Kind,
    pub(crate) id: Hint,
}

impl Counted {
    fn new(kind: Kind) -> Self {
        Self { kind, id: Hint::default() }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    /// One a quota.
    pub(crate) quotas: Box<[Counted]>,
    /// Where the policy bans.
    pub(crate) strikes: Option<Counted>,
}

impl Hints {
    pub(super) fn of(scope: Namespaces, quotas: &Quotas, ban: Option<&BanRule>) -> Self {
        let quotas = quotas.iter().enumerate();
        let counters = quotas.map(|(at, quota)| of_quota(scope.counters, at, *quota));
        let strikes = ban.map(|rule| Kind::new(scope.strikes, *rule.strikes(), false));
        Self { quotas: counters.map(Counted::new).collect(), strikes: strikes.map(Counted::new) }
    }
}

/// The scope of a policy's first quota is the policy's own.
fn of_quota(scope: u64, at: usize, quota: Quota) -> Kind {
    let scope = scope.wrapping_add((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Kind::new(scope, quota, true)
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

//! The counters of a policy in the memory store, with the id that the store has
//! given to each counter: kept with the policy, so that a check need not look
//! for it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Mode, Namespaces, QuotaId};
use crate::{
    algorithm::{Ring, WordEncoding},
    ban::BanRule,
    quota::{Quota, Quotas},
};

/// The counters of a policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// One a quota, in the order of the quotas.
    pub(crate) quotas: Box<[Counter]>,
    /// The counter of strikes, where the policy bans.
    pub(crate) strikes: Option<Counter>,
    /// True if a fast path may decide it: it enforces, and no usage needs more room than
    /// a decision has.
    pub(crate) is_simple: bool,
}

/// A counter, and the id that stands for it in the memory store.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(crate) spec: CounterSpec,
    pub(crate) id: CachedId,
}

/// A kind of counter, and its quota.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CounterSpec {
    /// The namespace of a policy's quota, or of strikes.
    pub(crate) namespace: u64,
    /// The namespace of the policy's counters; that of strikes is their own.
    pub(crate) policy: u64,
    pub(crate) quota: Quota,
    pub(crate) encoding: WordEncoding,
    /// The ticks in which the usage of evicted keys is remembered.
    pub(crate) ring: Ring,
    /// True if the usage of an evicted key is remembered. Strikes are not, since
    /// nobody is to be banned for the strikes of another.
    pub(crate) is_remembered: bool,
}

/// Counters follow from the rest of a policy.
impl PartialEq for Counters {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Counters {
    pub(super) fn of(
        namespaces: Namespaces,
        mode: Mode,
        quotas: &Quotas,
        quota_ids: &[QuotaId],
        ban: Option<&BanRule>,
    ) -> Self {
        let is_simple = mode == Mode::Enforce && quotas.iter().all(|quota| quota.segments() == 0);
        let quotas = quotas.iter().zip(quota_ids);
        let counters =
            quotas.map(|(quota, id)| Counter::of_quota(namespaces.counters, *id, *quota));
        let strikes = ban.map(|rule| Counter::of_strikes(namespaces.strikes, *rule.strikes()));
        Self { quotas: counters.collect(), strikes, is_simple }
    }
}

impl Counter {
    fn new(namespace: u64, policy: u64, quota: Quota, is_remembered: bool) -> Self {
        let encoding = WordEncoding::new(quota);
        let ring = Ring::of(&quota);
        let spec = CounterSpec { namespace, policy, quota, encoding, ring, is_remembered };
        Self { spec, id: CachedId::default() }
    }

    fn of_strikes(namespace: u64, quota: Quota) -> Self {
        Self::new(namespace, namespace, quota, false)
    }

    /// The namespaces of a policy's quotas have the same lowest bits, by which the memory
    /// store keeps them side by side.
    fn of_quota(policy: u64, id: QuotaId, quota: Quota) -> Self {
        let apart = u64::from(id.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15) << 8;
        Self::new(policy.wrapping_add(apart), policy, quota, true)
    }
}

/// An id of 16 bits, and the token of 48 bits under which it is valid: that of
/// the store that gave it, until the store gives ids of before to others.
#[derive(Debug, Default)]
pub(crate) struct CachedId(AtomicU64);

impl CachedId {
    /// Returns the id, if it is valid under that token.
    #[inline]
    pub(crate) fn get(&self, token: u64) -> Option<u16> {
        let cached = self.0.load(Ordering::Relaxed);
        (cached >> 16 == token).then_some((cached & 0xffff) as u16)
    }

    pub(crate) fn set(&self, token: u64, id: u16) {
        self.0.store(token << 16 | u64::from(id), Ordering::Relaxed);
    }
}

impl Clone for CachedId {
    /// Returns an empty one: the clone becomes another policy.
    fn clone(&self) -> Self {
        Self::default()
    }
}

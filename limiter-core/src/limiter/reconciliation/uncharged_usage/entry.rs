//! Entry: a part of the outage usage of one quota of one key.

use crate::{
    algorithm::PackedUsage,
    policy::{Policy, QuotaId},
};

#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) usage: PackedUsage,
    /// When it was touched last, in seconds.
    pub(super) touched: u32,
    pub(super) quota: WaitingQuota,
}

/// The id of a quota, and whether its usage waits: the bit [`WAITS`] is clear in every id.
#[derive(Clone, Copy)]
pub(super) struct WaitingQuota(u32);

const WAITS: u32 = 1 << 30;

impl WaitingQuota {
    pub(super) const fn new(id: QuotaId, waits: bool) -> Self {
        Self(id.number() | if waits { WAITS } else { 0 })
    }

    fn is_of(self, id: QuotaId) -> bool {
        self.0 & !WAITS == id.number()
    }

    pub(super) fn id(self) -> Option<QuotaId> {
        QuotaId::from_number(self.0 & !WAITS)
    }

    pub(super) const fn waits(self) -> bool {
        self.0 & WAITS != 0
    }
}

impl Entry {
    /// Returns true if it is of one of the policy's quotas.
    pub(super) fn is_of(&self, policy: &Policy) -> bool {
        policy.quota_ids().iter().any(|id| self.quota.is_of(*id))
    }
}

const _: () = assert!(size_of::<Entry>() == 56, "the memory of a key is documented");

//! The part of a check that is counted in memory while the store is away.

use crate::{
    check::Check,
    policy::{OnStoreError, Policy},
    request::Subjects,
};

/// Items that count in memory, and their positions in the check.
#[derive(Default)]
pub(super) struct LocallyCounted {
    pub(super) positions: Vec<usize>,
    pub(super) policies: Vec<Policy>,
    pub(super) subjects: Subjects,
}

impl LocallyCounted {
    pub(super) fn of(check: &Check<'_>, share: u32) -> Self {
        let mut local = Self::default();
        for (position, item) in check.items().enumerate() {
            if item.policy.on_store_error() == OnStoreError::Local {
                local.positions.push(position);
                local.policies.push(match share {
                    1 => item.policy.clone(),
                    servers => item.policy.divided(servers, check.cost()),
                });
                local.subjects.push(item.subject.clone());
            }
        }
        local
    }
}

//! Without the feature `memory` nothing is remembered: the store is called for
//! each request, and no policy counts elsewhere.

use std::time::{Duration, Instant};

use crate::{
    ban::Ban,
    check::{Check, Item},
    decide::Levels,
    decision::Decision,
    outage_usage::OutageUsage,
    store::{Store, memory_capacity::MemoryLimits},
    time::Timestamp,
};

#[derive(Debug, Default)]
pub(super) struct DenyCache {}

impl DenyCache {
    pub(super) const fn get(&self, _: &Check<'_>) -> Option<Decision> {
        None
    }

    pub(super) const fn put(&self, _: &Check<'_>, _: &Decision, _: Instant) {}

    pub(super) const fn forget(&self, _: &Check<'_>) {}

    pub(super) const fn clear(&self) {}

    pub(super) const fn peek(&self, _: &Check<'_>) -> Option<Decision> {
        None
    }

    pub(super) const fn get_while_away(&self, _: &Check<'_>) -> Option<Decision> {
        None
    }
}

#[derive(Debug)]
pub(super) struct LastSeen;

impl LastSeen {
    pub(super) const fn new() -> Self {
        Self
    }

    pub(super) const fn put(&self, _: &Check<'_>, _: &Decision) {}

    pub(super) const fn move_to(&self, _: &dyn Store, _: Item<'_>) {}

    pub(super) const fn forget(&self, _: Item<'_>) {}

    pub(super) const fn peek(&self, _: Item<'_>) -> Option<Levels> {
        None
    }
}

#[derive(Debug)]
pub(super) struct ReconciliationLog;

impl ReconciliationLog {
    pub(super) const fn new(_: MemoryLimits, _: Duration) -> Self {
        Self
    }

    pub(super) const fn keep_for(&self, _: Duration) {}

    pub(super) const fn note(&self, _: &Check<'_>, _: &Decision) {}

    pub(super) const fn note_ban(&self, _: &Check<'_>, _: &Decision) {}

    pub(super) const fn charge(&self, _: Item<'_>, _: u64, _: Timestamp) {}

    pub(super) const fn give_back(&self, _: Item<'_>, _: u64, _: Timestamp, _: Timestamp) {}

    pub(super) const fn ban(&self, _: Item<'_>, _: Ban) {}

    pub(super) const fn take(&self, _: &Check<'_>) -> Vec<Option<OutageUsage>> {
        Vec::new()
    }

    pub(super) const fn peek(&self, _: &Check<'_>) -> Vec<Option<OutageUsage>> {
        Vec::new()
    }

    pub(super) const fn failed(&self, _: &Check<'_>, _: bool) {}

    pub(super) const fn answered(&self, _: &Check<'_>) {}

    pub(super) const fn forget_units(&self, _: Item<'_>) {}

    pub(super) const fn forget_ban(&self, _: Item<'_>) {}
}

//! What every store outside of this process does, each in its own way, and
//! what it answers with.

use std::fmt;

use futures_core::future::BoxFuture;
use smallvec::SmallVec;

use super::operation::Operation;
use crate::{
    algorithm::State,
    ban::Ban,
    decide::PriorState,
    error::StoreError,
    outage_usage::OutageUsage,
    policy::{Namespaces, Policy},
    store::{Item, Subject},
    time::Timestamp,
};
use crate::{
    decide::{Outcome, decide},
    store::Check,
};

/// A database that keeps state. It owns what it is asked: a request that is
/// dropped must not leave a transaction half way.
pub(in crate::store) trait Backend: fmt::Debug + Send + Sync {
    /// Does what is asked in one atomic step.
    fn run(&self, run: StoreRequest) -> BoxFuture<'_, Result<Reply, StoreError>>;

    /// The ban of that name, if one is in force.
    fn ban(
        &self,
        scope: u64,
        client: String,
        now: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Option<Ban>, StoreError>>;

    /// Bans in force, page by page.
    fn bans(&self, page: BanQuery) -> BoxFuture<'_, Result<ListedBans, StoreError>>;

    /// Makes what is missing of tables and functions.
    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// One atomic step.
#[derive(Clone, Debug)]
pub(in crate::store) struct StoreRequest {
    pub(in crate::store) operation: Operation,
    /// The instant by the store's own clock, where it was given one.
    pub(in crate::store) now: Option<Timestamp>,
    pub(in crate::store) items: Vec<NamedItem>,
    /// To [`Owe`](Operation::Owe): what each item owes.
    pub(in crate::store) owed: Vec<OutageUsage>,
}

/// An item, and the name under which its client is kept.
#[derive(Clone, Debug)]
pub(in crate::store) struct NamedItem {
    pub(in crate::store) policy: Policy,
    pub(in crate::store) subject: Subject,
    pub(in crate::store) client: String,
}

impl NamedItem {
    pub(in crate::store) fn item(&self) -> Item<'_> {
        Item { policy: &self.policy, subject: &self.subject }
    }

    pub(in crate::store) fn scope(&self) -> Namespaces {
        self.policy.scope()
    }
}

/// What was kept before the step, and when that was.
#[derive(Debug)]
pub(in crate::store) struct Reply {
    pub(in crate::store) now: Timestamp,
    /// In the order of the items.
    pub(in crate::store) kept: Vec<StoredState>,
}

/// What was kept of one item.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct StoredState {
    /// By the clock of the server that kept it.
    pub(in crate::store) now: Timestamp,
    pub(in crate::store) states: SmallVec<[Option<State>; 2]>,
    pub(in crate::store) strikes: Option<State>,
    pub(in crate::store) ban: Option<Ban>,
}

impl StoredState {
    pub(in crate::store) fn prior(&self, item: Item<'_>) -> PriorState {
        PriorState::new(item, self.states.iter().copied(), self.strikes, self.ban, self.now)
    }
}

/// What becomes of items on which that was kept, by the pure functions.
pub(in crate::store) fn outcome<'a>(
    items: impl Iterator<Item = &'a NamedItem>,
    kept: &[StoredState],
    cost: u64,
    now: Timestamp,
) -> Outcome {
    let (policies, subjects): (SmallVec<[Policy; 1]>, SmallVec<[Subject; 1]>) =
        items.map(|item| (item.policy.clone(), item.subject.clone())).unzip();
    let check = Check::new(&policies, &subjects, cost);
    let priors: SmallVec<[PriorState; 1]> =
        check.items().zip(kept).map(|(item, kept)| kept.prior(item)).collect();
    decide(&check, &priors, now)
}

/// Which bans to list.
#[derive(Clone, Debug)]
pub(in crate::store) struct BanQuery {
    pub(in crate::store) scope: u64,
    /// Where the page before ended, as the store has said it.
    pub(in crate::store) after: Option<String>,
    pub(in crate::store) limit: usize,
    pub(in crate::store) now: Option<Timestamp>,
}

/// Bans by the names of their clients.
#[derive(Debug, Default)]
pub(in crate::store) struct ListedBans {
    pub(in crate::store) bans: Vec<(String, Ban)>,
    pub(in crate::store) next: Option<String>,
}

/// Reads a ban as databases tell it: `until,duration`. What cannot be read
/// counts as none.
#[cfg(feature = "_sql")]
pub(in crate::store) fn parse_ban(text: &str) -> Option<Ban> {
    let (until, duration) = text.split_once(',')?;
    let until = Timestamp::from_micros(until.parse().ok()?);
    Some(Ban { until, duration: duration.parse().ok()? })
}

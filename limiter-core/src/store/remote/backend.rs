//! The trait of every store outside of this process, and
//! what it answers with.

use std::{fmt, time::Instant};

use futures_core::future::BoxFuture;
use smallvec::SmallVec;

use super::operation::Operation;
#[cfg(feature = "redis")]
use crate::{algorithm::Mark, settlement::Adjustment};
use crate::{
    algorithm::State,
    ban::Ban,
    check::{Check, Item, Subject},
    decide::{Outcome, PriorState, decide},
    error::StoreError,
    outage_usage::OutageUsage,
    policy::{Namespaces, Policy},
    settlement::Settlement,
    short_list::ShortList,
    store::ServerHealth,
    time::Timestamp,
};

/// A database that keeps state. It owns each request: one that is
/// dropped must not leave a transaction half way.
pub(in crate::store) trait Backend: fmt::Debug + Send + Sync {
    /// Runs a request in one atomic step.
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

    /// The health of each server; none where the backend has no circuit breakers.
    fn health(&self) -> Vec<ServerHealth> {
        Vec::new()
    }

    /// Probes every server, each by [`probe`](super::probe_check::probe). The error has the
    /// server's own words, its host and port, and says what to do.
    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

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
    /// To [`Reconcile`](Operation::Reconcile): the outage usage of each item.
    pub(in crate::store) outage_usage: Vec<OutageUsage>,
    /// To [`Settle`](Operation::Settle): what the request came to for each item.
    pub(in crate::store) settlements: Vec<Settlement>,
    /// Until when its answer is of use.
    pub(in crate::store) deadline: Instant,
}

impl StoreRequest {
    /// A request without outage usage and settlements.
    pub(in crate::store) fn new(
        operation: Operation,
        items: Vec<NamedItem>,
        now: Option<Timestamp>,
        deadline: Instant,
    ) -> Self {
        Self { operation, now, items, outage_usage: Vec::new(), settlements: Vec::new(), deadline }
    }

    /// How many quotas its items have.
    pub(in crate::store) fn quotas(&self) -> usize {
        self.items.iter().map(|item| item.policy.quotas().len()).sum()
    }

    /// The units and the mark of a settlement that only gives back one charge of one
    /// quota.
    #[cfg(feature = "redis")]
    pub(in crate::store) fn refund(&self) -> Option<(u64, Mark)> {
        let [Settlement { adjustment: Adjustment::Refund { units, marks }, strikes: false }] =
            &self.settlements[..]
        else {
            return None;
        };
        let ([mark], [item]) = (&marks[..], &self.items[..]) else { return None };
        let quota = item.policy.quotas().iter().next()?;
        Some((mark.recorded_of(*units), mark.within(quota)))
    }

    /// Returns true if it writes nothing.
    pub(in crate::store) fn is_look(&self) -> bool {
        matches!(self.operation, Operation::Decide(0) | Operation::Look)
    }

    /// Returns true if both are the same check, of the same items and cost, so that one after
    /// the other is the same as one twice; or if both give as many units of the same items
    /// back.
    pub(in crate::store) fn folds_with(&self, other: &Self) -> bool {
        let folds = match self.operation {
            Operation::Decide(_) => true,
            Operation::Settle => {
                let mut settlements = self.settlements.iter().zip(&other.settlements);
                settlements.all(|(one, other)| one.refunds_as_many_as(other))
            }
            _ => false,
        };
        folds
            && self.operation == other.operation
            && self.now == other.now
            && self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(|(one, other)| one.is_same(other))
    }

    /// The client that takes turns with others for the server: that of the last item
    /// whose policy's key names a client. Behind a header, which clients choose, comes
    /// their address.
    pub(in crate::store) fn fair_client(&self) -> &str {
        let named = self.items.iter().rfind(|item| !item.policy.key().names_no_client());
        named.or(self.items.last()).map_or("", |item| &item.client)
    }
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

    fn is_same(&self, other: &Self) -> bool {
        self.client == other.client
            && self.subject.is_bannable() == other.subject.is_bannable()
            && self.policy.is(&other.policy)
    }

    pub(in crate::store) fn namespaces(&self) -> Namespaces {
        self.policy.namespaces()
    }
}

/// The state before the step, and the instant of the step.
#[derive(Clone, Debug)]
pub(in crate::store) struct Reply {
    pub(in crate::store) now: Timestamp,
    /// In the order of the items.
    pub(in crate::store) kept: Vec<StoredState>,
}

/// The stored state of one item.
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
        PriorState::new(item, self.states.iter().cloned(), self.strikes.clone(), self.ban, self.now)
    }
}

/// Returns the outcome of a check on that stored state, by the pure functions.
pub(in crate::store) fn outcome<'a>(
    items: impl Iterator<Item = &'a NamedItem>,
    kept: &[StoredState],
    cost: u64,
    now: Timestamp,
) -> Outcome {
    let (policies, subjects): (ShortList<Policy>, ShortList<Subject>) =
        items.map(|item| (item.policy.clone(), item.subject.clone())).unzip();
    let check = Check::new(&policies, &subjects, cost);
    let priors: ShortList<PriorState> =
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

/// Reads a ban as databases return it: `until,duration,count`. What cannot be read
/// counts as none.
#[cfg(feature = "_sql")]
pub(in crate::store) fn parse_ban(text: &str) -> Option<Ban> {
    let mut numbers = text.split(',');
    let until = Timestamp::from_micros(numbers.next()?.parse().ok()?);
    let (duration, count) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some(Ban { until, duration, count })
}

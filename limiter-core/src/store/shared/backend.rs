//! What every store outside of this process does, each in its own way, and
//! what it answers with.

use std::fmt;

use futures_core::future::BoxFuture;
use smallvec::SmallVec;

use super::operation::Operation;
use crate::{
    algorithm::{Owed, State},
    ban::Ban,
    decide::Prior,
    error::StoreError,
    policy::{Policy, Scope},
    store::{Item, Subject},
    time::Timestamp,
};
use crate::{
    decide::{Outcome, decide},
    store::Check,
};

/// A database that keeps state. It owns what it is asked: a request that is
/// dropped must not leave a transaction half way.
pub(super) trait Backend: fmt::Debug + Send + Sync {
    /// Does what is asked in one atomic step.
    fn run(&self, run: Run) -> BoxFuture<'_, Result<Before, StoreError>>;

    /// The ban of that name, if one is in force.
    fn ban(
        &self,
        scope: u64,
        client: String,
        now: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Option<Ban>, StoreError>>;

    /// Bans in force, page by page.
    fn bans(&self, page: Page) -> BoxFuture<'_, Result<Listed, StoreError>>;

    /// Makes what is missing of tables and functions.
    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// One atomic step.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) operation: Operation,
    /// The instant by the store's own clock, where it was given one.
    pub(super) now: Option<Timestamp>,
    pub(super) items: Vec<Named>,
    /// To [`Owe`](Operation::Owe): what each item owes.
    pub(super) owed: Vec<Owed>,
}

/// An item, and the name under which its client is kept.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) policy: Policy,
    pub(super) subject: Subject,
    pub(super) client: String,
}

impl Named {
    pub(super) fn item(&self) -> Item<'_> {
        Item { policy: &self.policy, subject: &self.subject }
    }

    pub(super) fn scope(&self) -> Scope {
        self.policy.scope()
    }
}

/// What was kept before the step, and when that was.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) now: Timestamp,
    /// In the order of the items.
    pub(super) kept: Vec<Kept>,
}

/// What was kept of one item.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// By the clock of the server that kept it.
    pub(super) now: Timestamp,
    pub(super) states: SmallVec<[Option<State>; 2]>,
    pub(super) strikes: Option<State>,
    pub(super) ban: Option<Ban>,
}

impl Kept {
    pub(super) fn prior(&self, item: Item<'_>) -> Prior {
        Prior::new(item, self.states.iter().copied(), self.strikes, self.ban, self.now)
    }
}

/// What becomes of items on which that was kept, by the pure functions.
pub(super) fn outcome<'a>(
    items: impl Iterator<Item = &'a Named>,
    kept: &[Kept],
    cost: u64,
    now: Timestamp,
) -> Outcome {
    let (policies, subjects): (SmallVec<[Policy; 1]>, SmallVec<[Subject; 1]>) =
        items.map(|item| (item.policy.clone(), item.subject.clone())).unzip();
    let check = Check::new(&policies, &subjects, cost);
    let priors: SmallVec<[Prior; 1]> =
        check.items().zip(kept).map(|(item, kept)| kept.prior(item)).collect();
    decide(&check, &priors, now)
}

/// Which bans to list.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) scope: u64,
    /// Where the page before ended, as the store has said it.
    pub(super) after: Option<String>,
    pub(super) limit: usize,
    pub(super) now: Option<Timestamp>,
}

/// Bans by the names of their clients.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) bans: Vec<(String, Ban)>,
    pub(super) next: Option<String>,
}

/// Reads a ban as databases tell it: `until,duration`. What cannot be read
/// counts as none.
#[cfg(feature = "_sql")]
pub(super) fn parse_ban(text: &str) -> Option<Ban> {
    let (until, duration) = text.split_once(',')?;
    let until = Timestamp::from_micros(until.parse().ok()?);
    Some(Ban { until, duration: duration.parse().ok()? })
}

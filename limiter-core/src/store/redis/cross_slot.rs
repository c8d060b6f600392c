//! Checks on a Redis Cluster whose policies count different clients: these may
//! live on different servers, which no script can see at once.
//!
//! The clients are asked one after the other. Once one of them refuses, what
//! the others have charged is given back, and only then do refusals strike: so
//! the outcome is that of one atomic step, as long as no other check comes between. What is
//! given back leaves the debt at the rate of this check's limit, and no state that was
//! not believed by the clock of this check.

use super::Redis;
use crate::{
    algorithm::Usage,
    ban::Ban,
    decide::{Change, Outcome},
    error::StoreError,
    policy::Mode,
    settlement::{Adjustment, Settlement},
    store::remote::{
        backend::{NamedItem, Reply, StoreRequest, StoredState, outcome},
        operation::Operation,
    },
    time::Timestamp,
};

/// Returns true if the items are of several clients.
pub(super) fn spans_clients(items: &[NamedItem]) -> bool {
    items.iter().any(|item| item.client != items[0].client)
}

/// Decides: all enforced items in turn, and once they admit, shadow ones.
pub(super) async fn decide(
    redis: &Redis,
    run: StoreRequest,
    cost: u64,
) -> Result<Reply, StoreError> {
    let mut asked = SlotGroup { redis, run: &run, kept: vec![None; run.items.len()] };
    let mut charged = Vec::new();
    let admitted = asked.charge_in_turn(cost, &mut charged).await;
    if !matches!(admitted, Ok(true)) {
        for group in charged {
            // What could not be given back is charged.
            asked.give_back(&group, cost).await.map_err(StoreError::new)?;
        }
    }
    if !admitted? {
        asked.strike_refusals(cost).await.map_err(StoreError::new)?;
    }
    Ok(asked.answer())
}

/// Settles each client in turn; what one comes to does not depend on another.
pub(super) async fn settle(redis: &Redis, run: StoreRequest) -> Result<Reply, StoreError> {
    let mut asked = SlotGroup { redis, run: &run, kept: vec![None; run.items.len()] };
    let mut was_applied = false;
    for mode in [Mode::Enforce, Mode::Shadow] {
        for group in groups(&run.items, mode) {
            let settlements = group.iter().map(|at| run.settlements[*at].clone()).collect();
            let settled = asked.settle(run.now, &group, settlements).await;
            settled.map_err(|error| if was_applied { StoreError::new(error) } else { error })?;
            was_applied = true;
        }
    }
    Ok(asked.answer())
}

/// Looks at each client in turn.
pub(super) async fn look(redis: &Redis, run: StoreRequest) -> Result<Reply, StoreError> {
    let mut asked = SlotGroup { redis, run: &run, kept: vec![None; run.items.len()] };
    for mode in [Mode::Enforce, Mode::Shadow] {
        for group in groups(&run.items, mode) {
            asked.ask(Operation::Look, &group).await?;
        }
    }
    Ok(asked.answer())
}

/// The positions of items of that mode, those of one client together.
fn groups(items: &[NamedItem], mode: Mode) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, item) in items.iter().enumerate().filter(|(_, item)| item.policy.mode() == mode) {
        match groups.iter_mut().find(|group| items[group[0]].client == item.client) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// The items of one slot, and their state before.
struct SlotGroup<'a> {
    redis: &'a Redis,
    run: &'a StoreRequest,
    kept: Vec<Option<StoredState>>,
}

impl SlotGroup<'_> {
    /// Charges all clients as long as none refuses; of the others asks only
    /// what is kept. Returns whether all admit, and notes who was charged.
    async fn charge_in_turn(
        &mut self,
        cost: u64,
        charged: &mut Vec<Vec<usize>>,
    ) -> Result<bool, StoreError> {
        let mut admitted = true;
        for group in groups(&self.run.items, Mode::Enforce) {
            if admitted {
                self.ask(Operation::Charge(cost), &group).await?;
                admitted = self.outcome(&group, cost).decision.is_allowed();
                if admitted {
                    charged.push(group);
                }
            } else {
                self.ask(Operation::Decide(0), &group).await?;
            }
        }
        for group in groups(&self.run.items, Mode::Shadow) {
            self.ask(Operation::Decide(if admitted { cost } else { 0 }), &group).await?;
        }
        Ok(admitted)
    }

    async fn ask(&mut self, operation: Operation, group: &[usize]) -> Result<(), StoreError> {
        let request = self.request(operation, self.run.now, group);
        self.run(request, group).await
    }

    async fn settle(
        &mut self,
        now: Option<Timestamp>,
        group: &[usize],
        settlements: Vec<Settlement>,
    ) -> Result<(), StoreError> {
        let request = self.request(Operation::Settle, now, group);
        self.run(StoreRequest { settlements, ..request }, group).await
    }

    fn request(
        &self,
        operation: Operation,
        now: Option<Timestamp>,
        group: &[usize],
    ) -> StoreRequest {
        let items = group.iter().map(|at| self.run.items[*at].clone()).collect();
        StoreRequest::new(operation, items, now, self.run.deadline)
    }

    async fn run(&mut self, request: StoreRequest, group: &[usize]) -> Result<(), StoreError> {
        let before = self.redis.run_on_slot(request).await?;
        for (at, kept) in group.iter().zip(before.kept) {
            self.kept[*at] = Some(kept);
        }
        Ok(())
    }

    fn outcome(&self, group: &[usize], cost: u64) -> Outcome {
        let kept = group.iter().map(|at| self.kept[*at].clone().unwrap_or_default());
        let (now, kept) = align_clocks(kept.collect());
        outcome(group.iter().map(|at| &self.run.items[*at]), &kept, cost, now)
    }

    /// Gives back what these items were charged. What was kept before stays what the
    /// check has found.
    async fn give_back(&self, group: &[usize], cost: u64) -> Result<(), StoreError> {
        let mut settlements = Vec::with_capacity(group.len());
        for change in self.outcome(group, cost).changes {
            // Nothing was charged to a request that only looks.
            let Change::Charged(levels) = change else { return Ok(()) };
            let marks = levels.iter().map(Usage::mark).collect();
            let adjustment = Adjustment::Refund { units: cost, marks };
            settlements.push(Settlement { adjustment, strikes: false });
        }
        let request = self.request(Operation::Settle, self.run.now, group);
        self.redis.run_on_slot(StoreRequest { settlements, ..request }).await.map(|_| ())
    }

    /// Strikes whom the whole check strikes, as what was kept says.
    async fn strike_refusals(&mut self, cost: u64) -> Result<(), StoreError> {
        let all: Vec<usize> = (0..self.run.items.len()).collect();
        let changes = self.outcome(&all, cost).changes;
        let strikes = |at: &usize| matches!(changes.get(*at), Some(Change::Struck(_)));
        let struck: Vec<usize> = all.into_iter().filter(strikes).collect();
        for mut group in groups(&self.run.items, Mode::Enforce) {
            group.retain(|at| struck.contains(at));
            if !group.is_empty() {
                self.strike(&group).await?;
            }
        }
        Ok(())
    }

    /// Strikes as of the instant at which these items were asked. What the
    /// quotas were at then is what has refused.
    async fn strike(&mut self, group: &[usize]) -> Result<(), StoreError> {
        let refused: Vec<StoredState> =
            group.iter().map(|at| self.kept[*at].clone().unwrap_or_default()).collect();
        let now = refused.first().map(|kept| kept.now);
        let strike = Settlement { strikes: true, ..Settlement::default() };
        self.settle(now, group, vec![strike; group.len()]).await?;
        for (at, refused) in group.iter().zip(refused) {
            if let Some(kept) = &mut self.kept[*at] {
                kept.states = refused.states;
            }
        }
        Ok(())
    }

    fn answer(self) -> Reply {
        let (now, kept) =
            align_clocks(self.kept.into_iter().map(Option::unwrap_or_default).collect());
        Reply { now, kept }
    }
}

/// Returns the states of several servers by one clock, the latest of theirs: a ban that
/// holds at its server holds by it, too.
fn align_clocks(mut kept: Vec<StoredState>) -> (Timestamp, Vec<StoredState>) {
    let now = kept.iter().map(|kept| kept.now).max().unwrap_or_default();
    for StoredState { now: theirs, ban, .. } in &mut kept {
        let behind = now.since(*theirs);
        *ban = ban.map(|ban| Ban { until: ban.until.after(behind), ..ban });
    }
    (now, kept)
}

//! Probe of a server: does everything that a check does, for a client that nobody
//! else has, and removes it. A server that can be read but not written, or on which a
//! script or a table may not be used, fails it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    backend::{NamedItem, Reply, StoreRequest, outcome},
    batcher::{BatchEntry, BatchExecutor},
    operation::Operation,
};
use crate::{
    ban::BanChange, check::Subject, decision::Verdict, error::StoreError, key::Key, policy::Policy,
    time::Timestamp,
};

/// A client's name that no other process has, and no client either. `number` keeps
/// apart those of one process, such as one for each master of a cluster.
pub(in crate::store) fn probe_client(number: u64) -> String {
    format!("probe={:016x}.{number}", RandomState::new().hash_one(0))
}

/// Charges, refuses, bans, reads the ban back and removes it all, by calls of one
/// entry each. `now` is the instant by the store's own clock, if it was given one.
///
/// # Errors
/// The error of the server; or one of its own, if the server does not keep what it is
/// sent.
pub(in crate::store) async fn probe<E: BatchExecutor>(
    executor: &E,
    client: &str,
    now: Option<Timestamp>,
    timeout: Duration,
) -> Result<(), StoreError> {
    let probe = Probed { executor, client, now, timeout };
    probe.clear().await?;
    let admitted = probe.run(Operation::Decide(1)).await?;
    let refused = probe.run(Operation::Decide(1)).await?;
    let banned = probe.run(Operation::Decide(0)).await?;
    probe.clear().await?;
    let verdicts = [Verdict::Allowed, Verdict::Banned, Verdict::Banned];
    if [admitted, refused, banned] == verdicts {
        return Ok(());
    }
    Err(StoreError::new("the server does not keep what it is sent"))
}

/// A server that is probed, and the client that it is probed by.
struct Probed<'a, E> {
    executor: &'a E,
    client: &'a str,
    now: Option<Timestamp>,
    timeout: Duration,
}

impl<E: BatchExecutor> Probed<'_, E> {
    async fn clear(&self) -> Result<(), StoreError> {
        self.run(Operation::ChangeBan(BanChange::Forgive)).await?;
        self.run(Operation::Reset).await?;
        Ok(())
    }

    /// Does one operation. Returns what follows from it for a check.
    async fn run(&self, operation: Operation) -> Result<Verdict, StoreError> {
        let subject = Subject::new(Key::custom("probe", self.client));
        let client = self.client.to_owned();
        let items = vec![NamedItem { policy: Policy::probe(), subject, client }];
        let deadline = Instant::now() + self.timeout;
        let request = Arc::new(StoreRequest::new(operation, items, self.now, deadline));
        let batch = [BatchEntry::once(Arc::clone(&request))];
        let mut replies = self.executor.execute(&batch).await?;
        let none = || StoreError::new("the server answered another number of requests");
        let Reply { now, kept } = replies.pop().ok_or_else(none)?;
        let Operation::Decide(cost) = operation else { return Ok(Verdict::Allowed) };
        Ok(outcome(request.items.iter(), &kept, cost, now).decision.verdict())
    }
}

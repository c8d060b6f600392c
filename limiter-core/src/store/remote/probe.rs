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
    decision::Verdict,
    error::StoreError,
    key::Key,
    policy::Policy,
    store::{BanChange, Subject},
    time::Timestamp,
};

/// A client's name that no other process has, and no client either. `number` tells
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
    let run = async |operation| run(executor, client, operation, now, timeout).await;
    clear(&run).await?;
    let admitted = run(Operation::Decide(1)).await?;
    let refused = run(Operation::Decide(1)).await?;
    let banned = run(Operation::Decide(0)).await?;
    clear(&run).await?;
    let verdicts = [Verdict::Allowed, Verdict::Banned, Verdict::Banned];
    if [admitted, refused, banned] == verdicts {
        return Ok(());
    }
    Err(StoreError::new("the server does not keep what it is sent"))
}

async fn clear(
    run: &impl AsyncFn(Operation) -> Result<Verdict, StoreError>,
) -> Result<(), StoreError> {
    run(Operation::ChangeBan(BanChange::Forgive)).await?;
    run(Operation::Reset).await?;
    Ok(())
}

/// Does one operation. Returns what follows from it for a check.
async fn run<E: BatchExecutor>(
    executor: &E,
    client: &str,
    operation: Operation,
    now: Option<Timestamp>,
    timeout: Duration,
) -> Result<Verdict, StoreError> {
    let subject = Subject { key: Key::custom("probe", client), bannable: true };
    let item = NamedItem { policy: Policy::probe(), subject, client: client.to_owned() };
    let request = Arc::new(StoreRequest {
        operation,
        now,
        items: vec![item],
        owed: Vec::new(),
        deadline: Instant::now() + timeout,
    });
    let batch = [BatchEntry { request: Arc::clone(&request), times: 1 }];
    let mut replies = executor.execute(&batch).await?;
    let none = || StoreError::new("the server answered another number of requests");
    let Reply { now, kept } = replies.pop().ok_or_else(none)?;
    let Operation::Decide(cost) = operation else { return Ok(Verdict::Allowed) };
    Ok(outcome(request.items.iter(), &kept, cost, now).decision.verdict)
}

//! The check of one server: a real decision, written, read back and removed.
//!
//! The start makes it on every master, and so does the prober of a server that
//! has failed: a PING would succeed where no check does, as on a full server, a
//! replica, or with a user who may not run scripts.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use super::{command::ScriptCall, error::CallError, master::Master};
use crate::{
    key::Key,
    policy::Policy,
    quota::{Quota, Quotas},
    store::{
        Subject,
        remote::{
            backend::{NamedItem, StoreRequest},
            operation::Operation,
        },
    },
};

/// Returns names of clients that nobody has, and no other process checks by.
pub(super) fn clients() -> impl Iterator<Item = String> {
    let random = RandomState::new().build_hasher().finish();
    (0..).map(move |number: u32| format!("{NAME}-{random:016x}-{number}"))
}

const NAME: &str = "server-check";

/// Decides twice, and forgets what was used.
///
/// # Errors
/// What the server says, or that it has not kept what was written.
pub(super) async fn probe(master: &Master, client: &str) -> Result<(), CallError> {
    let request = |operation| {
        let (policy, client) = (policy(), client.to_owned());
        let subject = Subject { key: Key::global(), bannable: false };
        let items = vec![NamedItem { policy, subject, client }];
        let request = StoreRequest { operation, now: None, items, owed: Vec::new() };
        Arc::new(ScriptCall::new(request))
    };
    master.run_alone(&request(Operation::Reset)).await?;
    for is_kept in [false, true] {
        let reply = master.run_alone(&request(Operation::Decide(1))).await?;
        let state = reply.kept.first().and_then(|kept| kept.states.first().copied().flatten());
        if state.is_some() != is_kept {
            return Err(CallError::NotKept);
        }
    }
    master.run_alone(&request(Operation::Reset)).await.map(|_| ())
}

fn policy() -> Policy {
    let quota = Quota::new(1_000, Duration::from_secs(10)).expect("the numbers are in range");
    Policy::new(NAME, Quotas::from(quota)).expect("the name is one")
}

//! The fast path: checks that one gcra quota alone decides, as parameters of
//! `fast_path.lua`, and its replies.

use std::sync::Arc;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};
use smallvec::smallvec;

use super::{
    command::{ScriptCall, write_name},
    encoding::{self, Numbers, RECORD_END},
    scripts::Script,
};
use crate::{
    policy::Mode,
    quota::{Algorithm, Quota},
    store::remote::{
        backend::{NamedItem, Reply, StoreRequest, StoredState},
        operation::{Operation, ttl_grace},
        script_params::fast_quota,
        storage_key,
    },
    time::Timestamp,
};

/// How many bytes a record of one gcra quota has.
const RECORD: usize = 32 + RECORD_END;

/// Returns the item and the quota that the fast path decides a request by, and
/// the cost; none if it does not.
fn parts(request: &StoreRequest) -> Option<(&NamedItem, &Quota, u64)> {
    let (Operation::Decide(cost) | Operation::Charge(cost)) = request.operation else {
        return None;
    };
    let [item] = &request.items[..] else { return None };
    let mut quotas = item.policy.quotas().iter();
    let (quota, others) = (quotas.next()?, quotas.next());
    let is_fast = others.is_none()
        && quota.algorithm() == Algorithm::Gcra
        && item.policy.mode() == Mode::Enforce
        && (1..=quota.burst()).contains(&cost);
    is_fast.then_some((item, quota, cost))
}

/// Returns whether the fast path may decide a call.
pub(super) fn is_fast(call: &ScriptCall) -> bool {
    parts(call.request()).is_some()
}

fn has_bans(item: &NamedItem) -> bool {
    item.policy.ban().is_some() && item.subject.bannable
}

/// The call of the script for those, all of one instant and each of a client of
/// its own.
pub(super) fn command(
    script: &Script,
    by_hash: bool,
    prefix: &str,
    calls: &[Arc<ScriptCall>],
) -> Cmd {
    let items = || calls.iter().flat_map(|call| &call.request().items);
    let keys: usize = items().map(|item| 1 + usize::from(has_bans(item))).sum();
    let mut command = Cmd::with_capacity(keys + 4, 72 * keys + 256);
    command.arg(if by_hash { "EVALSHA" } else { "EVAL" });
    command.arg(if by_hash { script.hash() } else { script.text() }).arg(keys);
    let mut name = String::with_capacity(128);
    for item in items() {
        let scope = item.namespaces();
        let parts = [('c', scope.counters), ('b', scope.bans)];
        for (kind, scope) in &parts[..1 + usize::from(has_bans(item))] {
            name.clear();
            write_name(&mut name, prefix, &item.client);
            storage_key::write_part(&mut name, *kind, *scope);
            command.arg(&name);
        }
    }
    command.arg(parameters(calls));
    command
}

fn parameters(calls: &[Arc<ScriptCall>]) -> Vec<u8> {
    let now = calls.first().and_then(|call| call.request().now);
    let groups: Vec<_> = calls.chunk_by(|one, other| one.is_decided_as(other)).collect();
    let mut parameters = Vec::with_capacity(24 + 96 * groups.len());
    let own_now = now.unwrap_or_default().as_micros();
    encoding::write(&mut parameters, [ttl_grace(now), own_now, groups.len() as u64]);
    for group in groups {
        let Some((item, quota, cost)) = parts(group[0].request()) else { continue };
        let rule = item.policy.ban().filter(|_| item.subject.bannable);
        let strikes = matches!(group[0].operation(), Operation::Decide(_))
            && rule.is_some_and(|rule| rule.strikes_on_refusal());
        let flags = [rule.is_some(), strikes].map(u64::from);
        encoding::write(&mut parameters, [group.len() as u64, group[0].times().into()]);
        encoding::write(&mut parameters, flags.into_iter().chain(fast_quota(quota, cost)));
    }
    parameters
}

/// Reads what the script has returned: of each call what was kept before, or that
/// it is undecided.
pub(super) fn replies(answer: Value, calls: &[Arc<ScriptCall>]) -> RedisResult<Vec<Option<Reply>>> {
    let unreadable = || RedisError::from((ErrorKind::UnexpectedReturnType, "an unknown answer"));
    let Value::BulkString(bytes) = answer else { return Err(unreadable()) };
    let (clock, records) = bytes.split_first_chunk().ok_or_else(unreadable)?;
    if records.len() != RECORD * calls.len() {
        return Err(unreadable());
    }
    let clock = Timestamp::from_micros(u64::from_be_bytes(*clock));
    let reply = |(call, record): (&Arc<ScriptCall>, &[u8])| {
        let now = call.request().now.unwrap_or(clock);
        if record[0] == u8::MAX {
            return Some(None);
        }
        let (_, quota, _) = parts(call.request())?;
        let state = Numbers::new(record).state(quota)?;
        let kept = vec![StoredState { now, states: smallvec![state], ..StoredState::default() }];
        Some(Some(Reply { now, kept }))
    };
    let replies = calls.iter().zip(records.chunks_exact(RECORD)).map(reply);
    replies.collect::<Option<_>>().ok_or_else(unreadable)
}

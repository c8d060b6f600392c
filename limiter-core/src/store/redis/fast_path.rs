//! The fast path: checks of one policy that gcra quotas alone decide, and charges of one
//! such quota that are given back, as parameters of `fast_path.lua`, and its replies.

use std::sync::Arc;

use super::{
    command::{ScriptCall, write_name},
    encoding::{self, Numbers, gcra_counter},
    scripts::Script,
};
use crate::{
    algorithm::Mark,
    ban::BanRule,
    policy::{Mode, QuotaId},
    quota::{Algorithm, Quota},
    store::remote::{
        backend::{NamedItem, Reply, StoreRequest, StoredState},
        operation::{Operation, ttl_grace},
        script_params::fast_quota,
        storage_key,
    },
    time::Timestamp,
};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};

/// The part of a request that the fast path does.
#[derive(Clone, Copy)]
struct Fast<'a> {
    item: &'a NamedItem,
    /// Units to take, or to give back.
    units: u64,
    /// The mark of what is given back.
    mark: Option<Mark>,
}

impl<'a> Fast<'a> {
    /// Returns what the fast path does for a request; none if that takes more.
    fn of(request: &'a StoreRequest) -> Option<Self> {
        let [item] = &request.items[..] else { return None };
        let quotas = &item.policy.quotas()[..];
        if quotas.iter().any(|quota| quota.algorithm() != Algorithm::Gcra) {
            return None;
        }
        match request.operation {
            Operation::Decide(cost) | Operation::Charge(cost) => {
                let may_pass = cost > 0 && quotas.iter().all(|quota| cost <= quota.burst());
                let is_fast = may_pass && item.policy.mode() == Mode::Enforce;
                is_fast.then_some(Self { item, units: cost, mark: None })
            }
            Operation::Settle if quotas.len() == 1 => {
                let (units, mark) = request.refund()?;
                Some(Self { item, units, mark: Some(mark) })
            }
            _ => None,
        }
    }

    /// Returns the quotas, each with its id.
    fn quotas(&self) -> impl Iterator<Item = (&'a Quota, QuotaId)> {
        self.item.policy.quotas().iter().zip(self.item.policy.quota_ids().iter().copied())
    }

    /// Returns the bytes of its counter.
    fn counter_length(&self) -> usize {
        gcra_counter(self.item.policy.quota_ids().len())
    }

    /// Returns true if the ban is read.
    fn has_bans(&self) -> bool {
        self.mark.is_none() && self.item.policy.ban().is_some() && self.item.subject.is_bannable()
    }
}

/// Returns whether the fast path may decide a call.
pub(super) fn is_fast(call: &ScriptCall) -> bool {
    Fast::of(call.request()).is_some()
}

/// The call of the script for those, all of one instant and each of a client of
/// its own.
pub(super) fn command(
    script: &Script,
    by_hash: bool,
    prefix: &str,
    calls: &[Arc<ScriptCall>],
) -> Cmd {
    let fast = || calls.iter().filter_map(|call| Fast::of(call.request()));
    let keys_of = |fast: &Fast<'_>| 1 + usize::from(fast.has_bans());
    let keys: usize = fast().map(|fast| keys_of(&fast)).sum();
    let mut command = Cmd::with_capacity(keys + 4, 72 * keys + 256);
    command.arg(if by_hash { "EVALSHA" } else { "EVAL" });
    command.arg(if by_hash { script.hash() } else { script.text() }).arg(keys);
    let mut name = String::with_capacity(128);
    for fast in fast() {
        let scope = fast.item.namespaces();
        let parts = [('c', scope.counters), ('b', scope.bans)];
        for (kind, scope) in &parts[..keys_of(&fast)] {
            name.clear();
            write_name(&mut name, prefix, &fast.item.client);
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
    let mut parameters = Vec::with_capacity(16 + 63 * groups.len());
    let own_now = now.unwrap_or_default().as_micros();
    encoding::write_numbers(&mut parameters, [ttl_grace(now), own_now]);
    encoding::write_counts(&mut parameters, [groups.len()]);
    for group in groups {
        let Some(fast) = Fast::of(group[0].request()) else { continue };
        let strikes = matches!(group[0].operation(), Operation::Decide(_))
            && fast.has_bans()
            && fast.item.policy.ban().is_some_and(BanRule::strikes_on_refusal);
        let flags = [fast.has_bans(), strikes].map(usize::from);
        // No times at all: it is given back.
        let times = if fast.mark.is_some() { 0 } else { group[0].times() as usize };
        encoding::write_counts(&mut parameters, [group.len(), times]);
        encoding::write_counts(&mut parameters, flags);
        encoding::write_counts(&mut parameters, [fast.quotas().count()]);
        for (quota, id) in fast.quotas() {
            encoding::write_terms(&mut parameters, id, quota);
            encoding::write_numbers(&mut parameters, fast_quota(quota, fast.units));
        }
        for call in group.iter().filter(|_| fast.mark.is_some()) {
            encoding::write_counts(&mut parameters, [call.times() as usize]);
            let marks = call.refunds().flat_map(|(_, mark)| [mark.at, mark.fraction]);
            encoding::write_numbers(&mut parameters, marks);
        }
    }
    parameters
}

/// Reads what the script has returned: of each call what was kept before, or that
/// it is undecided.
pub(super) fn replies(answer: Value, calls: &[Arc<ScriptCall>]) -> RedisResult<Vec<Option<Reply>>> {
    let unreadable = || RedisError::from((ErrorKind::UnexpectedReturnType, "an unknown answer"));
    let Value::BulkString(bytes) = answer else { return Err(unreadable()) };
    let (clock, mut records) = bytes.split_first_chunk().ok_or_else(unreadable)?;
    let clock = Timestamp::from_micros(u64::from_be_bytes(*clock));
    let mut reply = |call: &Arc<ScriptCall>| {
        let now = call.request().now.unwrap_or(clock);
        let fast = Fast::of(call.request())?;
        let (record, rest) = records.split_at_checked(fast.counter_length())?;
        records = rest;
        if record[0] == u8::MAX {
            return Some(None);
        }
        let mut numbers = Numbers::new(record);
        let states = fast.quotas().map(|(_, id)| numbers.state(id)).collect::<Option<_>>()?;
        Some(Some(Reply { now, kept: vec![StoredState { now, states, ..StoredState::default() }] }))
    };
    let replies: Option<Vec<_>> = calls.iter().map(&mut reply).collect();
    replies.filter(|_| records.is_empty()).ok_or_else(unreadable)
}

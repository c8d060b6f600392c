//! One call of the general script: its arguments, see `state.lua`, and its reply.

use std::sync::Arc;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};

use super::{
    encoding::{self, Numbers},
    scripts::Script,
};
use crate::{
    algorithm::Mark,
    store::remote::{
        backend::{NamedItem, Reply, StoreRequest},
        batcher::BatchEntry,
        operation::{Operation, ttl_grace},
        script_params::settlement_numbers,
        storage_key,
    },
    time::Timestamp,
};

/// A request that the script decides in one atomic step.
#[derive(Debug)]
pub(super) struct ScriptCall {
    run: Arc<StoreRequest>,
    /// Settlements that follow the first one.
    settlements: Vec<Arc<StoreRequest>>,
    /// How often it is decided in a row.
    times: u32,
}

impl ScriptCall {
    pub(super) fn of_entry(entry: &BatchEntry) -> Self {
        let BatchEntry { request, times, settlements } = entry;
        Self { run: Arc::clone(request), settlements: settlements.clone(), times: *times }
    }

    pub(super) fn request(&self) -> &StoreRequest {
        &self.run
    }

    pub(super) const fn times(&self) -> u32 {
        self.times
    }

    /// The settlements that it applies; none where it decides.
    fn settlements(&self) -> impl Iterator<Item = &StoreRequest> {
        let is_settled = self.operation() == Operation::Settle;
        let all = std::iter::once(&self.run).chain(&self.settlements);
        all.filter(move |_| is_settled).map(|request| &**request)
    }

    /// The units and marks of what it gives back.
    pub(super) fn refunds(&self) -> impl Iterator<Item = (u64, Mark)> {
        self.settlements().filter_map(StoreRequest::refund)
    }

    /// Returns true if both differ in their clients alone, and in the marks of what is
    /// given back.
    pub(super) fn is_decided_as(&self, other: &Self) -> bool {
        let is_as_often = self.times == other.times || self.operation() == Operation::Settle;
        is_as_often
            && self.has_one_template(other)
            && self.run.refund().map(|(units, _)| units)
                == other.run.refund().map(|(units, _)| units)
    }

    /// Returns what calls are sorted by so that those which are decided alike follow each
    /// other.
    pub(super) fn order(&self) -> (bool, u64) {
        let policy = self.run.items.first().map(|item| item.namespaces().counters);
        (self.operation() == Operation::Settle, policy.unwrap_or(0))
    }

    pub(super) fn operation(&self) -> Operation {
        self.run.operation
    }

    /// The client whose slot the call goes to.
    pub(super) fn client(&self) -> &str {
        self.run.items.first().map_or("", |item| &item.client)
    }

    /// Returns true if both differ in their clients and clocks alone, so that their
    /// numbers are sent once.
    fn has_one_template(&self, other: &Self) -> bool {
        let (one, other) = (&*self.run, &*other.run);
        let alike = |(one, other): (&NamedItem, &NamedItem)| {
            one.policy.is(&other.policy) && one.subject.is_bannable() == other.subject.is_bannable()
        };
        one.operation == other.operation
            && one.items.len() == other.items.len()
            && one.items.iter().zip(&other.items).all(alike)
    }
}

/// Returns the command that decides the calls, in this order.
pub(super) fn command(
    script: &Script,
    by_hash: bool,
    prefix: &str,
    calls: &[Arc<ScriptCall>],
) -> Cmd {
    let items = || calls.iter().flat_map(|call| &call.run.items);
    let keys: usize = items().map(keys_of).sum();
    let mut command = Cmd::with_capacity(keys + 40, 64 * keys + 256);
    command.arg(if by_hash { "EVALSHA" } else { "EVAL" });
    command.arg(if by_hash { script.hash() } else { script.text() }).arg(keys);
    let mut name = String::with_capacity(128);
    for item in items() {
        let scope = item.namespaces();
        let parts = [('c', scope.counters), ('b', scope.bans), ('s', scope.strikes)];
        for (kind, scope) in &parts[..keys_of(item)] {
            name.clear();
            write_name(&mut name, prefix, &item.client);
            storage_key::write_part(&mut name, *kind, *scope);
            command.arg(&name);
        }
    }
    write_arguments(&mut command, calls);
    command
}

/// How many keys an item has: the counter, and with a ban rule ban and strikes.
fn keys_of(item: &NamedItem) -> usize {
    if item.policy.ban().is_some() { 3 } else { 1 }
}

/// Returns the name of a key.
pub(super) fn key_name(prefix: &str, client: &str, part: &str) -> String {
    let mut name = String::with_capacity(64);
    write_name(&mut name, prefix, client);
    name + part
}

/// Writes the prefix of the names of all of a client's keys. A cluster places keys by the
/// part in braces: all of a client's state is in one slot. No client's name has a brace.
pub(super) fn write_name(name: &mut String, prefix: &str, client: &str) {
    for part in [prefix, ":{", client, "}:"] {
        name.push_str(part);
    }
}

fn write_arguments(command: &mut Cmd, calls: &[Arc<ScriptCall>]) {
    let (forms, runs) = templates_and_runs(calls);
    // Where each form begins: behind the runs, counted from 1.
    let (mut numbers, mut places) = (Vec::with_capacity(48), Vec::new());
    for ScriptCall { run, .. } in forms {
        let operation = run.operation;
        places.push(numbers.len() + 4 * runs.len() + 3);
        numbers.extend([code(operation), operation.capped_cost(), run.items.len() as u64]);
        for item in &run.items {
            numbers.push(encoding::states_length(item));
            numbers.extend(operation.numbers(std::iter::once(item.item())));
        }
    }
    let own_clock = calls.first().and_then(|call| call.run.now);
    let mut argument = Vec::with_capacity(512);
    encoding::write(&mut argument, [ttl_grace(own_clock), runs.len() as u64]);
    for TemplateRun { form, now, times, count } in runs {
        let now = now.unwrap_or_default().as_micros();
        encoding::write(&mut argument, [places[form] as u64, now, times.into(), count]);
    }
    encoding::write(&mut argument, numbers);
    command.arg(&argument);
    let settlements = || calls.iter().flat_map(|call| call.settlements());
    if settlements().next().is_some() {
        let mut further = Vec::with_capacity(512);
        encoding::write(&mut further, settlements().flat_map(settlement_numbers));
        command.arg(&further);
    }
}

/// Checks of one form that follow each other, each decided the same number of times
/// in a row, at an instant of the store's own clock.
struct TemplateRun {
    form: usize,
    now: Option<Timestamp>,
    times: u32,
    count: u64,
}

/// Returns the forms, each of which is sent once, and the runs of checks that have them.
fn templates_and_runs(calls: &[Arc<ScriptCall>]) -> (Vec<&ScriptCall>, Vec<TemplateRun>) {
    let (mut forms, mut runs): (Vec<&ScriptCall>, Vec<TemplateRun>) = (Vec::new(), Vec::new());
    for call in calls {
        let known = forms.iter().position(|form| form.has_one_template(call));
        let form = known.unwrap_or(forms.len());
        if known.is_none() {
            forms.push(call);
        }
        let (now, times) = (call.run.now, call.times);
        match runs.last_mut() {
            Some(last) if (last.form, last.now, last.times) == (form, now, times) => {
                last.count += 1;
            }
            _ => runs.push(TemplateRun { form, now, times, count: 1 }),
        }
    }
    (forms, runs)
}

/// Returns the number of an operation in `check.lua`.
const fn code(operation: Operation) -> u64 {
    match operation {
        Operation::Decide(_) => 0,
        Operation::Charge(_) => 1,
        Operation::Settle => 2,
        // No other is sent to the script, see `is_scripted`.
        _ => 3,
    }
}

/// Reads the reply of the script: one for each call.
pub(super) fn answers(answer: Value, calls: &[Arc<ScriptCall>]) -> RedisResult<Vec<Reply>> {
    let unreadable = || RedisError::from((ErrorKind::UnexpectedReturnType, "an unknown answer"));
    let Value::BulkString(encoding) = answer else { return Err(unreadable()) };
    let mut numbers = Numbers::new(&encoding);
    let clock = Timestamp::from_micros(numbers.next().ok_or_else(unreadable)?);
    let before = |call: &Arc<ScriptCall>| {
        let now = call.run.now.unwrap_or(clock);
        let kept = call.run.items.iter().map(|item| numbers.kept(item, now));
        Some(Reply { now, kept: kept.collect::<Option<_>>()? })
    };
    let befores = calls.iter().map(before).collect::<Option<_>>();
    befores.filter(|_| numbers.is_empty()).ok_or_else(unreadable)
}

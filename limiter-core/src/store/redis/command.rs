//! One call of a general script: its arguments, and its reply.
//! Both general scripts take the same, see `state.lua`.

use std::sync::Arc;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};

use super::{
    encoding::{self, Numbers},
    scripts::Script,
};
use crate::{
    store::{
        BanChange,
        remote::{
            backend::{NamedItem, Reply, StoreRequest},
            batcher::BatchEntry,
            operation::{Operation, ttl_grace},
            script_params::settlement_numbers,
            storage_key,
        },
    },
    time::Timestamp,
};

/// A request that a script decides in one atomic step.
#[derive(Debug)]
pub(super) struct ScriptCall {
    run: Arc<StoreRequest>,
    /// How often it is decided in a row.
    times: u32,
    /// The numbers of this call alone, behind all else: see the scripts.
    further: Vec<u8>,
}

impl ScriptCall {
    pub(super) fn of_entry(BatchEntry { request, times }: &BatchEntry) -> Self {
        let (run, times) = (Arc::clone(request), *times);
        let mut further = Vec::new();
        match run.operation {
            Operation::Reconcile => write_outage_usage(&mut further, &run),
            Operation::Settle => encoding::write(&mut further, settlement_numbers(&run)),
            Operation::ChangeBan(BanChange::Ban(_)) => {
                encoding::write(&mut further, [run.operation.duration()]);
            }
            _ => {}
        }
        Self { run, times, further }
    }

    pub(super) fn request(&self) -> &StoreRequest {
        &self.run
    }

    pub(super) const fn times(&self) -> u32 {
        self.times
    }

    /// Returns whether both differ in their clients alone, and in the marks of what is
    /// given back.
    pub(super) fn is_decided_as(&self, other: &Self) -> bool {
        self.times == other.times
            && self.has_one_template(other)
            && self.run.refund().map(|(units, _)| units)
                == other.run.refund().map(|(units, _)| units)
    }

    pub(super) fn operation(&self) -> Operation {
        self.run.operation
    }

    /// The client whose slot the call goes to.
    pub(super) fn client(&self) -> &str {
        self.run.items.first().map_or("", |item| &item.client)
    }

    /// Returns true if both differ in their clients and clocks alone, so that a script
    /// is told their numbers once.
    fn has_one_template(&self, other: &Self) -> bool {
        let (one, other) = (&*self.run, &*other.run);
        let alike = |(one, other): (&NamedItem, &NamedItem)| {
            one.policy.is(&other.policy) && one.subject.bannable == other.subject.bannable
        };
        one.operation == other.operation
            && one.items.len() == other.items.len()
            && one.items.iter().zip(&other.items).all(alike)
    }
}

/// Writes outage usage: the numbers of each quota, and those of a ban.
fn write_outage_usage(told: &mut Vec<u8>, run: &StoreRequest) {
    for outage_usage in &run.outage_usage {
        // By a clock at 0 its end is how much longer it lasts.
        let ban = outage_usage.ban_at(Timestamp::default());
        let ban = ban.map_or([0; 3], |ban| [ban.until.as_micros(), ban.duration, ban.count.into()]);
        encoding::write(told, outage_usage.numbers().chain(ban));
    }
}

/// The call that asks all of it, in this order.
pub(super) fn command(
    script: &Script,
    by_hash: bool,
    prefix: &str,
    asked: &[Arc<ScriptCall>],
) -> Cmd {
    let items = || asked.iter().flat_map(|ask| &ask.run.items);
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
    write_arguments(&mut command, asked);
    command
}

/// How many keys an item has: the counter, and with a ban rule ban and strikes.
fn keys_of(item: &NamedItem) -> usize {
    if item.policy.ban().is_some() { 3 } else { 1 }
}

/// Writes the prefix of the names of all of a client's keys. The part in braces is
/// what a Redis cluster places by: all of a client's state is in one slot, and
/// no client's name has a brace.
pub(super) fn write_name(name: &mut String, prefix: &str, client: &str) {
    for part in [prefix, ":{", client, "}:"] {
        name.push_str(part);
    }
}

fn write_arguments(command: &mut Cmd, asked: &[Arc<ScriptCall>]) {
    let (forms, runs) = templates_and_runs(asked);
    // Where each form begins: behind the runs, counted from 1.
    let (mut numbers, mut places) = (Vec::with_capacity(48), Vec::new());
    for ScriptCall { run, .. } in forms {
        let operation = run.operation;
        places.push(numbers.len() + 4 * runs.len() + 3);
        numbers.extend([code(operation), operation.capped_cost(), run.items.len() as u64]);
        for item in &run.items {
            numbers.push(encoding::counter_length(item));
            numbers.extend(operation.numbers(std::iter::once(item.item())));
        }
    }
    let own_clock = asked.first().and_then(|ask| ask.run.now);
    let mut told = Vec::with_capacity(512);
    encoding::write(&mut told, [ttl_grace(own_clock), runs.len() as u64]);
    for TemplateRun { form, now, times, count } in runs {
        let now = now.unwrap_or_default().as_micros();
        encoding::write(&mut told, [places[form] as u64, now, times.into(), count]);
    }
    encoding::write(&mut told, numbers);
    command.arg(&told);
    if asked.iter().any(|ask| !ask.further.is_empty()) {
        command.arg(asked.iter().flat_map(|ask| &ask.further).copied().collect::<Vec<u8>>());
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

/// Returns the forms, each sent once for all checks that have it, and the runs of checks.
fn templates_and_runs(asked: &[Arc<ScriptCall>]) -> (Vec<&ScriptCall>, Vec<TemplateRun>) {
    let (mut forms, mut runs): (Vec<&ScriptCall>, Vec<TemplateRun>) = (Vec::new(), Vec::new());
    for ask in asked {
        let known = forms.iter().position(|form| form.has_one_template(ask));
        let form = known.unwrap_or(forms.len());
        if known.is_none() {
            forms.push(ask);
        }
        let (now, times) = (ask.run.now, ask.times);
        match runs.last_mut() {
            Some(last) if (last.form, last.now, last.times) == (form, now, times) => {
                last.count += 1;
            }
            _ => runs.push(TemplateRun { form, now, times, count: 1 }),
        }
    }
    (forms, runs)
}

/// The number by which the scripts know an operation.
const fn code(operation: Operation) -> u64 {
    match operation {
        Operation::Decide(_) => 0,
        Operation::Charge(_) => 1,
        Operation::Settle => 2,
        Operation::Reconcile => 4,
        Operation::ChangeBan(BanChange::Ban(_)) => 5,
        Operation::ChangeBan(BanChange::Lift) => 6,
        Operation::ChangeBan(BanChange::Forgive) => 7,
        Operation::Reset => 8,
        Operation::Look => 9,
    }
}

/// Reads the reply of a script: one for each call.
pub(super) fn answers(answer: Value, asked: &[Arc<ScriptCall>]) -> RedisResult<Vec<Reply>> {
    let unreadable = || RedisError::from((ErrorKind::UnexpectedReturnType, "an unknown answer"));
    let Value::BulkString(encoding) = answer else { return Err(unreadable()) };
    let mut numbers = Numbers::new(&encoding);
    let clock = Timestamp::from_micros(numbers.next().ok_or_else(unreadable)?);
    let before = |ask: &Arc<ScriptCall>| {
        let now = ask.run.now.unwrap_or(clock);
        let kept = ask.run.items.iter().map(|item| numbers.kept(item, now));
        Some(Reply { now, kept: kept.collect::<Option<_>>()? })
    };
    let befores = asked.iter().map(before).collect::<Option<_>>();
    befores.filter(|_| numbers.is_empty()).ok_or_else(unreadable)
}

//! Rare operations by compare-and-set: reconciliation, changes of bans, resets.
//!
//! Input: one request. Output: the state before it. The keys are read, changed by the
//! pure functions, and written by `compare_and_set.lua` if they are still as they were
//! read; else all of it is done again. (A script of its own for these operations needed
//! the arithmetic of all algorithms once more.)

use redis::{Cmd, ErrorKind, Pipeline, RedisError, Value};

use super::{command::key_name, encoding, error::CallError, script_runner::ScriptRunner};
use crate::{
    store::remote::{
        apply_request::Apply,
        backend::{Reply, StoreRequest},
        state_rows::{Changes, LoadedRow, LoadedRows, Names, Rows},
    },
    time::Timestamp,
};

const SCRIPT: &str = include_str!("lua/compare_and_set.lua");

/// The most attempts of a request whose keys others change meanwhile. The deadline
/// bounds them, too, and mostly first. (64 were too few for the reset of a counter that eight
/// clients charged all the time, on a machine without an idle processor.)
const MAX_ATTEMPTS: usize = 1_024;

/// Runs a request on the keys of one slot. `is_asking` sends it to a node that the keys
/// are about to move to.
pub(super) async fn run(
    runner: &ScriptRunner,
    request: &StoreRequest,
    is_asking: bool,
) -> Result<Reply, CallError> {
    let exchange = Exchange { runner, is_asking };
    for _ in 0..MAX_ATTEMPTS {
        if let Some(reply) = attempt_once(&exchange, request).await? {
            return Ok(reply);
        }
    }
    Err(CallError::Contended)
}

/// Returns `None` where a key was changed by another meanwhile.
async fn attempt_once(
    exchange: &Exchange<'_>,
    request: &StoreRequest,
) -> Result<Option<Reply>, CallError> {
    let prefix = exchange.runner.prefix();
    let name = |client: &str, part: &str| key_name(prefix, client, part);
    let (mut rows, places) = Rows::of(std::iter::once(request), &name);
    let loaded = exchange.read(&rows.names()).await?;
    let server_now = Timestamp::from_micros(loaded.now.unwrap_or_default());
    let now = request.now.unwrap_or(server_now);
    rows.fill(loaded, |bytes| encoding::read_states(bytes), |bytes| encoding::parse_ban(bytes));
    let places = places.first().map_or(&[][..], |places| places);
    let kept = rows.kept(request, places, now);
    Apply::new(&mut rows, request, now).perform(places, &kept);
    let is_written = exchange.write(&rows.changes(), now).await?;
    Ok(is_written.then_some(Reply { now, kept }))
}

/// The exchange of commands with one node.
struct Exchange<'a> {
    runner: &'a ScriptRunner,
    is_asking: bool,
}

impl Exchange<'_> {
    /// Reads keys, and then the server's clock: so the clock is never behind a state.
    async fn read(&self, names: &Names<'_>) -> Result<LoadedRows<Vec<u8>>, CallError> {
        let mut commands: Vec<Cmd> = Vec::new();
        for name in names.counters.iter().chain(&names.bans) {
            commands.push(Cmd::get(*name));
        }
        commands.push(redis::cmd("TIME"));
        let mut values = self.send(commands).await?;
        let time = values.pop().unwrap_or(Value::Nil).extract_error()?;
        let (seconds, micros): (u64, u64) = redis::from_redis_value(time)?;
        let mut loaded = Vec::with_capacity(values.len());
        for value in values {
            loaded.push(load(value)?);
        }
        let bans = loaded.split_off(names.counters.len());
        Ok(LoadedRows { now: Some(seconds * 1_000_000 + micros), counters: loaded, bans })
    }

    /// Writes changes. Returns false if a key has changed since it was read.
    async fn write(
        &self,
        changes: &Changes<'_, Vec<u8>>,
        now: Timestamp,
    ) -> Result<bool, CallError> {
        if changes.is_empty() {
            return Ok(true);
        }
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(changes.counters.len() + changes.bans.len());
        changes.counters.iter().for_each(|row| _ = command.arg(row.name));
        changes.bans.iter().for_each(|row| _ = command.arg(row.name));
        // As `finish` of state.lua rounds.
        let seconds = |expires_at: u64| expires_at.saturating_sub(now.as_micros()) / 1_000_000 + 1;
        for row in &changes.counters {
            let bytes = row.states.map(encoding::write_states);
            command.arg(row.version.map_or(&[][..], Vec::as_slice));
            command.arg(bytes.unwrap_or_default()).arg(seconds(row.expires_at));
        }
        for row in &changes.bans {
            command.arg(row.version.map_or(&[][..], Vec::as_slice));
            command
                .arg(row.ban.map(encoding::write_ban).unwrap_or_default())
                .arg(seconds(row.expires_at));
        }
        let answer = self.send(vec![command]).await?.pop().unwrap_or(Value::Nil);
        Ok(redis::from_redis_value::<u64>(answer.extract_error()?)? == 1)
    }

    async fn send(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, CallError> {
        let mut pipeline = Pipeline::with_capacity(2 * commands.len());
        for command in commands {
            if self.is_asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(command);
        }
        let mut values = self.runner.connection().send(&pipeline).await?;
        if self.is_asking {
            values = values.into_iter().skip(1).step_by(2).collect();
        }
        Ok(values)
    }
}

/// Reads the answer of GET: `None` if there is no key, or one of another type.
fn load(value: Value) -> Result<Option<LoadedRow<Vec<u8>>>, CallError> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(LoadedRow { version: bytes.clone(), value: bytes })),
        Value::ServerError(error) if error.code() == "WRONGTYPE" => Ok(None),
        value => match value.extract_error() {
            Err(error) => Err(error.into()),
            Ok(_) => Err(RedisError::from((ErrorKind::UnexpectedReturnType, "no bytes")).into()),
        },
    }
}

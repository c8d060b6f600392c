//! The scripts, and which of them does what.

use redis::Cmd;

use super::{command, fast_path, plan::Part};
use crate::store::remote::{operation::Operation, script_params::lua_names};

macro_rules! script {
    ($($part:literal),+) => { concat!($(include_str!($part), "\n"),+) };
}

/// A script, and the hash by which a server knows it.
pub(super) struct Script {
    text: String,
    hash: String,
}

impl Script {
    fn new(text: String) -> Self {
        Self { hash: redis::Script::new(&text).get_hash().to_owned(), text }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

/// All scripts, and what the names of all keys begin with.
pub(super) struct Scripts {
    pub(super) prefix: String,
    fast_path: Script,
    decide: Script,
    by_hand: Script,
}

impl Scripts {
    pub(super) fn new(prefix: &str) -> Self {
        let general = |text: &str| Script::new(lua_names() + text);
        Self {
            prefix: prefix.to_owned(),
            fast_path: Script::new(script!("lua/fast_path.lua").to_owned()),
            decide: general(script!("lua/algorithms.lua", "lua/state.lua", "lua/check.lua")),
            by_hand: general(script!("lua/algorithms.lua", "lua/state.lua", "lua/admin.lua")),
        }
    }

    /// Returns the command that runs the calls of a part.
    pub(super) fn command(&self, part: &Part, by_hash: bool) -> Cmd {
        let calls = &part.calls;
        if part.is_fast {
            return fast_path::command(&self.fast_path, by_hash, &self.prefix, calls);
        }
        let script = match &calls[..] {
            [call, ..] if !is_batchable(call.operation()) => &self.by_hand,
            _ => &self.decide,
        };
        command::command(script, by_hash, &self.prefix, calls)
    }
}

/// Returns whether `check.lua` does it, with others in one call.
pub(super) const fn is_batchable(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Decide(_) | Operation::Charge(_) | Operation::Settle | Operation::Look
    )
}

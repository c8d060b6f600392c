//! The scripts that decide checks, and the choice of one for a part of a batch.

use redis::Cmd;

use super::{command, fast_path, split_batch::Part};
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
    check: Script,
}

impl Scripts {
    pub(super) fn new(prefix: &str) -> Self {
        let check = script!("lua/algorithms.lua", "lua/state.lua", "lua/check.lua");
        Self {
            prefix: prefix.to_owned(),
            fast_path: Script::new(include_str!("lua/fast_path.lua").to_owned()),
            check: Script::new(lua_names() + check),
        }
    }

    /// Returns the command that runs the calls of a part.
    pub(super) fn command(&self, part: &Part, by_hash: bool) -> Cmd {
        let calls = &part.calls;
        match part.is_fast {
            true => fast_path::command(&self.fast_path, by_hash, &self.prefix, calls),
            false => command::command(&self.check, by_hash, &self.prefix, calls),
        }
    }
}

/// Returns true if `check.lua` decides it, with others in one call. The others are rare:
/// see `compare_and_set.rs`.
pub(super) const fn is_scripted(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Decide(_) | Operation::Charge(_) | Operation::Settle | Operation::Look
    )
}

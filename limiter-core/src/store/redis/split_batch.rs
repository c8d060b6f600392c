//! A batch of calls, in parts: which script decides which of them.

use std::{collections::HashMap, sync::Arc};

use super::{command::ScriptCall, fast_path, hash_slot::slot_of};

/// Calls that one run of a script decides: all of one slot, on a cluster.
pub(super) struct Part {
    pub(super) is_fast: bool,
    /// Their positions among all calls.
    pub(super) positions: Vec<usize>,
    pub(super) calls: Vec<Arc<ScriptCall>>,
}

/// Returns the parts that do the calls at those positions.
///
/// The fast path takes checks of clients that are met once alone: the others'
/// are decided in their order.
pub(super) fn parts(
    calls: &[Arc<ScriptCall>],
    mut positions: Vec<usize>,
    is_cluster: bool,
    may_be_fast: bool,
) -> Vec<Part> {
    let slots: Vec<u16> = match is_cluster {
        true => calls.iter().map(|call| slot_of(call.client())).collect(),
        false => vec![0; calls.len()],
    };
    positions.sort_by_key(|at| slots[*at]);
    let met = how_often_met(calls);
    let is_fast = |at: &usize| {
        let call = &calls[*at];
        may_be_fast
            && fast_path::is_fast(call)
            && met.get(call.client()).is_none_or(|times| *times == 1)
            && call.request().now == calls[0].request().now
    };
    let mut parts = Vec::new();
    for group in positions.chunk_by(|one, other| slots[*one] == slots[*other]) {
        let (fast, general): (Vec<usize>, Vec<usize>) = group.iter().partition(|at| is_fast(at));
        for (is_fast, positions) in [(true, fast), (false, general)] {
            if !positions.is_empty() {
                let calls = positions.iter().map(|at| Arc::clone(&calls[*at])).collect();
                parts.push(Part { is_fast, positions, calls });
            }
        }
    }
    parts
}

/// Returns the number of calls of each client; nothing if there is one call.
fn how_often_met(calls: &[Arc<ScriptCall>]) -> HashMap<&str, u32> {
    let mut met = HashMap::new();
    if calls.len() > 1 {
        for item in calls.iter().flat_map(|call| &call.request().items) {
            *met.entry(item.client.as_str()).or_default() += 1;
        }
    }
    met
}

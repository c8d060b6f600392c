//! A batch of calls, in parts: which script decides which of them.

use std::{collections::HashMap, sync::Arc};

use super::{command::ScriptCall, fast_path, hash_slot::slot_of};
use crate::store::remote::backend::NamedItem;

/// Calls that one run of a script decides: all of one slot, on a cluster.
pub(super) struct Part {
    pub(super) is_fast: bool,
    /// Their positions among all calls.
    pub(super) positions: Vec<usize>,
    pub(super) calls: Vec<Arc<ScriptCall>>,
}

/// Returns the parts that do the calls at those positions.
///
/// The fast path takes each client once in a part, and two calls of a client at most: the
/// checks of one that is busy, and its refunds, are a call each. More are decided in their
/// order by the general script. All of them are under way at the same time, so that any
/// order is as good.
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
    let turns = turns(calls);
    let is_fast = |at: usize| {
        let call = &calls[at];
        may_be_fast
            && fast_path::is_fast(call)
            && turns[at].is_some()
            && call.request().now == calls[0].request().now
    };
    let mut parts = Vec::new();
    for group in positions.chunk_by(|one, other| slots[*one] == slots[*other]) {
        let (mut fast, general): (Vec<usize>, Vec<usize>) =
            group.iter().partition(|at| is_fast(**at));
        // Calls that are decided alike follow each other: their numbers are sent once.
        fast.sort_by_key(|at| calls[*at].order());
        let (first, second) = fast.iter().partition(|at| turns[**at] == Some(0));
        for (is_fast, positions) in [(true, first), (true, second), (false, general)] {
            if !positions.is_empty() {
                let calls = positions.iter().map(|at| Arc::clone(&calls[*at])).collect();
                parts.push(Part { is_fast, positions, calls });
            }
        }
    }
    parts
}

/// Returns for each call if it is its client's first or second; `None` where the client has
/// more.
fn turns(calls: &[Arc<ScriptCall>]) -> Vec<Option<usize>> {
    if let [_] = calls {
        return vec![Some(0)];
    }
    let mut met: HashMap<&str, usize> = HashMap::with_capacity(calls.len());
    let turns: Vec<usize> = calls
        .iter()
        .map(|call| {
            // A call of several items is never fast, and meets them all.
            let items = &call.request().items;
            let turn = |item: &NamedItem| met.get(item.client.as_str()).copied().unwrap_or(0);
            let turn = items.iter().map(turn).max().unwrap_or(0);
            for item in items {
                met.insert(&item.client, turn + 1);
            }
            turn
        })
        .collect();
    let of_two = |(call, turn): (&Arc<ScriptCall>, usize)| {
        let is_one_of_two = met.get(call.client()).is_none_or(|times| *times <= 2);
        is_one_of_two.then_some(turn)
    };
    calls.iter().zip(turns).map(of_two).collect()
}

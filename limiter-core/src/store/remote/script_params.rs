//! Parameters of the Redis scripts: an operation as numbers, and the names by
//! which the scripts find each of them.
//!
//! [`lua_names`] makes the names from the lists below, so that Rust and Lua have
//! one order. Flags are 1 or 0, algorithms 0 (gcra), 1 (fixed), 2 (sliding) and 3 (strict
//! window), times microseconds.

use super::{backend::StoreRequest, operation::Operation};
use crate::{
    algorithm::{script_params, settlement_params},
    ban::BanRule,
    check::Item,
    policy::{Mode, QuotaId},
    quota::{MAX_UNITS, Quota},
    settlement::Adjustment,
};

/// The numbers of a check, before those of its items.
const FORM: [&str; 3] = ["OPERATION", "UNITS", "ITEMS"];

/// The numbers of an item, before those of its quotas and of its ban rule, if it
/// has one: the length of its counter, whether it is a shadow one, how many quotas
/// it has, and whether it has a rule.
const ITEM: [&str; 4] = ["BYTES", "SHADOW", "QUOTAS", "RULED"];

/// The numbers of a quota. ID is the number of its id, NEVER says that the cost is over the burst. Behind BURST are
/// six that each algorithm has of its own: of gcra the cost of the check, the full
/// bucket, and the most debt that is believed (two buckets), as whole microseconds and a
/// rest in units of `1 / limit` of one; see [`FIXED`] and [`STRICT`] for those
/// of windows.
const QUOTA: [&str; 12] = [
    "ID",
    "ALGORITHM",
    "LIMIT",
    "WINDOW",
    "NEVER",
    "BURST",
    "COST",
    "COST_REST",
    "FULL",
    "FULL_REST",
    "MOST",
    "MOST_REST",
];

/// The numbers of a fixed window in the place of COST and behind it: whether windows begin
/// at a set time, and how long after the epoch.
const FIXED: [&str; 2] = ["ALIGNED", "ALIGNED_TO"];

/// The numbers of a strict window in the place of COST and those behind it: the length
/// of a segment, and how many count at a time at most.
const STRICT: [&str; 2] = ["SEGMENT", "SEGMENTS"];

/// The numbers of a ban rule.
const RULE: [&str; 8] = [
    "THRESHOLD",
    "STRIKE_WINDOW",
    "DURATION",
    "FACTOR",
    "MAX_DURATION",
    "FORGIVE_AFTER",
    "REFUSALS",
    "BANNABLE",
];

/// Returns the first lines of a script: the place of each number behind the first
/// of its form, item, quota or rule, and how many numbers each of these has.
pub(in crate::store) fn lua_names() -> String {
    let mut lua = String::new();
    let lists: [(&str, &[&str]); 4] =
        [("FORM", &FORM), ("ITEM", &ITEM), ("QUOTA", &QUOTA), ("RULE", &RULE)];
    for (list, names) in lists {
        let places: Vec<String> = (0..=names.len()).map(|place| place.to_string()).collect();
        lua += &format!("local {}, {list}_SIZE = {}\n", names.join(", "), places.join(", "));
    }
    let own = QUOTA.iter().position(|name| *name == "COST").unwrap_or(QUOTA.len());
    for names in [FIXED, STRICT] {
        let places: Vec<String> =
            (own..).take(names.len()).map(|place| place.to_string()).collect();
        lua += &format!("local {} = {}\n", names.join(", "), places.join(", "));
    }
    lua
}

impl Operation {
    /// Units to take.
    pub(in crate::store) const fn cost(self) -> u64 {
        match self {
            Self::Decide(cost) => cost,
            #[cfg(feature = "redis")]
            Self::Charge(cost) => cost,
            Self::Reconcile | Self::Settle | Self::ChangeBan(_) | Self::Reset | Self::Look => 0,
        }
    }

    /// Returns the cost that is sent: at most the most units that any quota holds.
    pub(in crate::store) fn capped_cost(self) -> u64 {
        self.cost().min(MAX_UNITS)
    }

    /// The numbers of the items, one after the other.
    pub(in crate::store) fn numbers<'a>(self, items: impl Iterator<Item = Item<'a>>) -> Vec<u64> {
        let cost = self.cost();
        let mut numbers = Vec::with_capacity(32);
        items.for_each(|item| item_numbers(&mut numbers, item, cost));
        numbers
    }
}

fn item_numbers(numbers: &mut Vec<u64>, item: Item<'_>, cost: u64) {
    let quotas = item.policy.quotas();
    numbers.push((item.policy.mode() != Mode::Enforce).into());
    numbers.push(quotas.len() as u64);
    numbers.push(item.policy.ban().is_some().into());
    for (quota, id) in quotas.iter().zip(item.policy.quota_ids()) {
        quota_numbers(numbers, quota, *id, cost);
    }
    if let Some(rule) = item.policy.ban() {
        rule_numbers(numbers, rule, item.subject.is_bannable());
    }
}

fn quota_numbers(numbers: &mut Vec<u64>, quota: &Quota, id: QuotaId, cost: u64) {
    let never = cost > quota.burst();
    numbers.extend([id.number().into(), quota.algorithm() as u64]);
    numbers.extend([quota.limit(), quota.window_micros(), never.into(), quota.burst()]);
    numbers.extend(script_params(quota, cost.min(MAX_UNITS)));
}

/// The numbers of a settlement, as `redis/lua/check.lua` takes them, item by item.
#[cfg(feature = "redis")]
pub(in crate::store) fn settlement_numbers(request: &StoreRequest) -> Vec<u64> {
    let mut numbers = Vec::with_capacity(16);
    for (item, settlement) in request.items.iter().zip(&request.settlements) {
        let kind = match settlement.adjustment {
            Adjustment::None => 0,
            Adjustment::Refund { .. } => 1,
            Adjustment::Charge(_) => 2,
        };
        numbers.extend([settlement.strikes.into(), kind]);
        for (at, quota) in item.policy.quotas().iter().enumerate() {
            let [units, further] = match &settlement.adjustment {
                Adjustment::None => [[0; 2]; 2],
                Adjustment::Charge(units) => settlement_params(quota, *units),
                Adjustment::Refund { units, marks } => {
                    // Without a mark nothing was charged: no window begins at 0.
                    let mark = marks.get(at).copied().unwrap_or_default().within(quota);
                    let [units, _] = settlement_params(quota, mark.recorded_of(*units));
                    [units, [mark.at, mark.fraction]]
                }
            };
            numbers.extend(units.into_iter().chain(further));
        }
    }
    numbers
}

/// The limit of a gcra quota, the cost of a check and the full bucket, as
/// `redis/lua/fast_path.lua` takes them.
pub(in crate::store) fn fast_quota(quota: &Quota, cost: u64) -> [u64; 5] {
    let [cost, cost_rest, full, full_rest, ..] = script_params(quota, cost);
    [quota.limit(), cost, cost_rest, full, full_rest]
}

fn rule_numbers(numbers: &mut Vec<u64>, rule: &BanRule, bannable: bool) {
    numbers.extend(rule.numbers());
    numbers.extend([rule.strikes_on_refusal(), bannable].map(u64::from));
}

//! Random settlements of the differential test: units that are charged or given back.

use std::{collections::HashMap, sync::Mutex};

use limiter_core::{
    Item, Key, Quota, Timestamp,
    decide::{Mark, Usage},
    settlement::{Adjustment, Marks, Settled},
};
use proptest::prelude::*;

use super::quotas::LARGE;

/// The change of the units of each item.
#[derive(Clone, Debug)]
pub(super) enum UnitChange {
    None,
    Charge(u64),
    /// So many of the units that were charged to that item last.
    GiveBackLast(u64),
    /// So many, by a mark so far behind or ahead of a day from now.
    GiveBackAt {
        units: u64,
        at: u64,
        fraction: u64,
    },
}

/// The marks of the last charge of each policy and key, as the store has returned them.
#[derive(Debug, Default)]
pub(super) struct LastCharges(Mutex<HashMap<(String, Key), Marks>>);

impl LastCharges {
    pub(super) fn adjustment(
        &self,
        change: &UnitChange,
        item: Item<'_>,
        now: Timestamp,
    ) -> Adjustment {
        match *change {
            UnitChange::None => Adjustment::None,
            UnitChange::Charge(units) => Adjustment::Charge(units),
            UnitChange::GiveBackLast(units) => {
                let marks = self.0.lock().unwrap().get(&name_of(item)).cloned();
                Adjustment::Refund { units, marks: marks.unwrap_or_default() }
            }
            UnitChange::GiveBackAt { units, at, fraction } => {
                let at = now.as_micros() - DAY + at;
                let mark = |quota: &Quota| Mark {
                    at,
                    fraction: fraction % quota.limit(),
                    unrecorded: fraction % 3,
                };
                Adjustment::Refund { units, marks: item.policy.quotas().iter().map(mark).collect() }
            }
        }
    }

    pub(super) fn note(&self, item: Item<'_>, settled: &Settled) {
        let marks = match settled.marks.is_empty() {
            true => settled.usages.iter().map(Usage::mark).collect(),
            false => settled.marks.clone(),
        };
        self.0.lock().unwrap().insert(name_of(item), marks);
    }
}

pub(super) fn name_of(item: Item<'_>) -> (String, Key) {
    (item.policy.name().to_owned(), item.subject.key.clone())
}

const DAY: u64 = 86_400_000_000;

pub(super) fn unit_change() -> impl Strategy<Value = UnitChange> {
    let units =
        || prop_oneof![9 => 1u64..9, 1 => LARGE / 3 - 2..LARGE / 3 + 2, 1 => Just(u64::MAX)];
    let marks = (units(), prop_oneof![DAY - 300..DAY + 300, 0..2 * DAY], 0u64..9);
    prop_oneof![
        2 => Just(UnitChange::None),
        3 => units().prop_map(UnitChange::Charge),
        3 => units().prop_map(UnitChange::GiveBackLast),
        2 => marks.prop_map(|(units, at, fraction)| UnitChange::GiveBackAt { units, at, fraction }),
    ]
}

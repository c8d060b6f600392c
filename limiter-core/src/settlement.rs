//! Settlement: what a request came to, applied to what it was charged.
//!
//! A check reserves; the outcome settles. A settlement gives units back, or charges more
//! than was asked for, and strikes. It refuses nothing: the request is over.
//!
//! Pure. A store reads the state before, calls [`settle`], and writes what it returns.

use crate::{
    algorithm::{Mark, Usage},
    ban::BanRecord,
    check::Item,
    decide::{Levels, PriorState},
    short_list::ShortList,
    time::Timestamp,
};

/// The outcome of a request for one item.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settlement {
    /// The change of the units that it was charged.
    pub adjustment: Adjustment,
    /// True if it is a strike. It is none where the policy has no ban rule or the subject
    /// may not be banned.
    pub strikes: bool,
}

impl Settlement {
    /// Returns true if both give back as many units, and do nothing else.
    #[cfg(feature = "_shared")]
    pub(crate) fn refunds_as_many_as(&self, other: &Self) -> bool {
        let recorded = |units: u64, marks: &Marks| -> ShortList<u64> {
            marks.iter().map(|mark| mark.recorded_of(units)).collect()
        };
        match (&self.adjustment, &other.adjustment) {
            (
                Adjustment::Refund { units, marks },
                Adjustment::Refund { units: other_units, marks: other_marks },
            ) => {
                let is_only_refund = !self.strikes && !other.strikes;
                is_only_refund
                    && recorded(*units, marks)[..] == recorded(*other_units, other_marks)[..]
            }
            _ => false,
        }
    }
}

/// A change of the units that a request was charged.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Adjustment {
    /// They stay.
    #[default]
    None,
    /// The last `units` of a charge are given back.
    Refund {
        /// The units.
        units: u64,
        /// The mark of the charge, one a quota, in the policy's order.
        marks: Marks,
    },
    /// Units more are charged, also beyond the limit.
    Charge(u64),
}

/// The marks of one charge, one a quota.
pub type Marks = ShortList<Mark>;

/// An item, and what a request came to for it.
#[derive(Clone, Debug)]
pub struct SettledItem<'a> {
    /// The item.
    pub item: Item<'a>,
    /// The outcome of the request.
    pub settlement: Settlement,
}

impl<'a> SettledItem<'a> {
    /// Returns an item that a request was a strike against, and that keeps its units.
    #[must_use]
    pub fn struck(item: Item<'a>) -> Self {
        Self { item, settlement: Settlement { strikes: true, ..Settlement::default() } }
    }

    /// Returns an item whose units change, without a strike.
    #[must_use]
    pub fn adjusted(item: Item<'a>, adjustment: Adjustment) -> Self {
        Self { item, settlement: Settlement { adjustment, strikes: false } }
    }
}

/// An item after a settlement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settled {
    /// The usage of each quota, in the policy's order.
    pub usages: Levels,
    /// The marks of the units that were charged, one a quota; empty if none were.
    pub marks: Marks,
    /// The end of the ban that the strike has brought, if it has.
    pub new_ban: Option<Timestamp>,
}

/// The state that a store writes for a settlement, and the result that it returns.
#[derive(Clone, Debug)]
pub struct SettlementOutcome {
    /// The result.
    pub settled: Settled,
    /// True if the usages were changed.
    pub is_adjusted: bool,
    /// Strikes and ban, if they were changed.
    pub record: Option<BanRecord>,
}

/// Settles one item whose state was that before.
#[must_use]
pub fn settle(
    SettledItem { item, settlement }: &SettledItem<'_>,
    prior: &PriorState,
    now: Timestamp,
) -> SettlementOutcome {
    let (usages, marks) = adjust(&settlement.adjustment, &prior.levels);
    let record = match (item.policy.ban(), prior.offender) {
        (Some(rule), Some(before)) if settlement.strikes => {
            Some(before.strike(rule, now)).filter(|after| *after != before)
        }
        _ => None,
    };
    let new_ban =
        record.zip(prior.offender).and_then(|(after, before)| after.new_ban(&before, now));
    let is_adjusted = usages != prior.levels;
    SettlementOutcome { settled: Settled { usages, marks, new_ban }, is_adjusted, record }
}

/// Returns the usages after an adjustment, and the marks of what it has charged.
fn adjust(adjustment: &Adjustment, before: &Levels) -> (Levels, Marks) {
    match adjustment {
        Adjustment::None => (before.clone(), Marks::new()),
        Adjustment::Charge(units) => {
            let charged = before.iter().cloned().map(|mut usage| {
                let mark = usage.charge_beyond(*units);
                (usage, mark)
            });
            charged.unzip()
        }
        Adjustment::Refund { units, marks } => {
            // A quota without a mark was not charged by that request.
            let marks = marks.iter().copied().map(Some).chain(std::iter::repeat(None));
            let refund = |(usage, mark): (&Usage, Option<Mark>)| match mark {
                Some(mark) => usage.clone().give_back(*units, mark.within(usage.quota())),
                None => usage.clone(),
            };
            (before.iter().zip(marks).map(refund).collect(), Marks::new())
        }
    }
}

//! Random steps of the differential test.

use std::time::Duration;

use limiter_core::{
    Ban, BanChange, BanRule, Check, Item, Key, Mode, OutageUsage, Policy, Quotas, Store, Subject,
    Timestamp,
    settlement::{SettledItem, Settlement},
};
use proptest::prelude::*;

use super::{
    quotas::{Edit, LARGE, edit, quotas},
    unit_changes::{LastCharges, UnitChange, name_of, unit_change},
};

/// One thing to ask of a store.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The policies whose bit is set; as they are, or edited.
    Decide {
        edit: Edit,
        policies: u8,
        keys: [u8; 3],
        cost: u64,
        outage_usage: Option<Debt>,
    },
    Settle {
        edit: Edit,
        policies: u8,
        keys: [u8; 3],
        status: u16,
        change: UnitChange,
    },
    ChangeBan {
        policy: usize,
        key: u8,
        change: BanChange,
    },
    Reset {
        policy: usize,
        key: u8,
    },
    Forward(u64),
    Back(u64),
}

impl Step {
    /// The keys that it is about, as bits.
    pub(super) fn keys(&self) -> u32 {
        match self {
            Self::Decide { policies, keys, .. } | Self::Settle { policies, keys, .. } => {
                let used = keys.iter().enumerate().filter(|(at, _)| policies & (1 << at) > 0);
                used.fold(0, |bits, (_, key)| bits | 1 << key)
            }
            Self::ChangeBan { key, .. } | Self::Reset { key, .. } => 1 << key,
            Self::Forward(_) | Self::Back(_) => 0,
        }
    }
}

/// The outage usage of the policies whose bit is set, since how long, and the ban that
/// was brought.
#[derive(Clone, Debug)]
pub(super) struct Debt {
    policies: u8,
    units: u64,
    age: u64,
    ban: u64,
}

impl Debt {
    fn of(&self, policies: &[Policy], now: Timestamp) -> Vec<Option<OutageUsage>> {
        let since = Timestamp::from_micros(now.as_micros() - self.age);
        let outage_usage = |policy: &Policy| {
            let mut outage_usage = OutageUsage::new(policy, since);
            outage_usage.charge(self.units, since);
            if self.ban > 0 {
                let until = since.after(Duration::from_micros(self.ban));
                outage_usage.ban(Ban { until, duration: self.ban, count: 1 });
            }
            outage_usage.at(now)
        };
        let bits = policies.iter().enumerate();
        bits.map(|(at, policy)| (self.policies & (1 << at) != 0).then(|| outage_usage(policy)))
            .collect()
    }
}

pub(super) fn ban_rule() -> impl Strategy<Value = BanRule> {
    let micros = Duration::from_micros;
    (1u64..5, 10u64..500, 1u64..300, 1_000u32..4_000, any::<bool>(), any::<bool>()).prop_map(
        move |(threshold, window, duration, factor, refusals, statuses)| {
            BanRule::after_strikes(threshold)
                .within(micros(window))
                .for_duration(micros(duration))
                .and_then(|rule| rule.with_factor_thousandths(factor))
                .and_then(|rule| rule.with_max_duration(micros(duration * 5)))
                .and_then(|rule| rule.with_forgive_after(micros(window * 2)))
                .and_then(|rule| rule.with_statuses(statuses.then_some(401)))
                .unwrap()
                .with_refusals(refusals)
        },
    )
}

/// Three policies; two may share a group, one may only watch.
pub(super) fn policies() -> impl Strategy<Value = [Policy; 3]> {
    let bans = (prop::option::of(ban_rule()), prop::option::of(ban_rule()), any::<bool>());
    ([quotas(), quotas(), quotas()], bans, any::<bool>()).prop_map(
        |([a, b, c], (ban, other, grouped), shadow)| {
            let (ban, other) = match (ban, grouped) {
                (Some(ban), true) => {
                    let shared = ban.with_group("shared").unwrap();
                    (Some(shared.clone()), Some(shared))
                }
                (ban, _) => (ban, other),
            };
            let policy = |name: &str, quotas: Quotas, ban: Option<BanRule>| {
                let policy = Policy::new(name, quotas).unwrap();
                ban.into_iter().fold(policy, Policy::with_ban)
            };
            let mode = if shadow { Mode::Shadow } else { Mode::Enforce };
            [
                policy("a", a, ban),
                policy("b", b, other.clone()),
                policy("c", c, other.map(|_| rule_of_its_own())).with_mode(mode),
            ]
        },
    )
}

pub(super) fn rule_of_its_own() -> BanRule {
    BanRule::after_strikes(2)
        .within(Duration::from_micros(300))
        .for_duration(Duration::from_micros(100))
        .unwrap()
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = || prop::array::uniform3(0u8..3);
    let change = prop_oneof![
        (1u64..400).prop_map(|micros| BanChange::Ban(Duration::from_micros(micros))),
        Just(BanChange::Lift),
        Just(BanChange::Forgive),
    ];
    let units = prop_oneof![9 => 0u64..9, 1 => LARGE / 3 - 2..LARGE / 3 + 2, 1 => Just(u64::MAX)];
    let ban = prop_oneof![2 => Just(0), 1 => 1u64..300];
    let debt = (1u8..8, units, 0u64..300, ban).prop_map(|(policies, units, age, ban)| Debt {
        policies,
        units,
        age,
        ban,
    });
    let debt = prop_oneof![5 => Just(None), 1 => debt.prop_map(Some)];
    let step = prop_oneof![
        12 => (edit(), 1u8..8, keys(), prop_oneof![9 => 0u64..5, 1 => LARGE / 3 - 2..LARGE / 3 + 2, 1 => Just(u64::MAX)], debt)
            .prop_map(|(edit, policies, keys, cost, outage_usage)| Step::Decide { edit, policies, keys, cost, outage_usage }),
        6 => (edit(), 1u8..8, keys(), prop_oneof![Just(401), Just(200)], unit_change())
            .prop_map(|(edit, policies, keys, status, change)| Step::Settle { edit, policies, keys, status, change }),
        1 => (0usize..3, 0u8..3, change)
            .prop_map(|(policy, key, change)| Step::ChangeBan { policy, key, change }),
        1 => (0usize..3, 0u8..3).prop_map(|(policy, key)| Step::Reset { policy, key }),
        8 => (0u64..120).prop_map(Step::Forward),
        1 => (0u64..3_000).prop_map(Step::Back),
    ];
    prop::collection::vec(step, 1..150)
}

/// Steps under limits that do not change, by a clock that does not step back.
pub(super) fn steps_of_one_rule() -> impl Strategy<Value = Vec<Step>> {
    steps().prop_map(|mut steps| {
        steps.retain(|step| match step {
            Step::Decide { edit, .. } | Step::Settle { edit, .. } => *edit == Edit::None,
            step => !matches!(step, Step::Back(_)),
        });
        steps
    })
}

pub(super) fn subject(sequence: &str, key: u8) -> Subject {
    // The last one is never banned.
    let key_of = Key::custom("sequence", sequence).and(Key::user(&key.to_string()));
    Subject::new(key_of).with_bannable(key < 2)
}

/// Returns the answer of a step, as text with every field.
pub(super) async fn answer(
    store: &dyn Store,
    policies: &[Policy; 3],
    sequence: &str,
    step: &Step,
    now: Timestamp,
    charges: &LastCharges,
) -> String {
    let subject = |key: u8| subject(sequence, key);
    let chosen = |edit: Edit, bits: u8, keys: [u8; 3]| -> (Vec<Policy>, Vec<Subject>) {
        let at = (0..3).filter(|at| bits & (1 << at) != 0);
        at.map(|at| (edit.of(&policies[at]), subject(keys[at]))).unzip()
    };
    match step {
        Step::Decide { edit, policies: bits, keys, cost, outage_usage } => {
            let (policies, subjects) = chosen(*edit, *bits, *keys);
            let outage_usage =
                outage_usage.as_ref().map(|debt| debt.of(&policies, now)).unwrap_or_default();
            let check = Check::new(&policies, &subjects, *cost).with_outage_usage(&outage_usage);
            let decision = store.decide(check).await.unwrap();
            format!(
                "{decision:?} {:?}",
                decision.quotas().iter().map(|q| q.remaining()).collect::<Vec<_>>()
            )
        }
        Step::Settle { edit, policies, keys, status, change } => {
            let (policies, subjects) = chosen(*edit, *policies, *keys);
            let check = Check::new(&policies, &subjects, 1);
            let offenders: Vec<_> = check.offenders(*status).into_iter().map(name_of).collect();
            let items = check.items().map(|item| {
                let adjustment = charges.adjustment(change, item, now);
                let strikes = offenders.contains(&name_of(item));
                SettledItem { item, settlement: Settlement { adjustment, strikes } }
            });
            let settled = store.settle(items.collect()).await.unwrap();
            if matches!(change, UnitChange::Charge(_)) {
                check.items().zip(&settled).for_each(|(item, settled)| charges.note(item, settled));
            }
            format!("{settled:?}")
        }
        Step::ChangeBan { policy, key, change } => {
            let item = Item { policy: &policies[*policy], subject: &subject(*key) };
            store.change_ban(item, *change).await.unwrap();
            String::new()
        }
        Step::Reset { policy, key } => {
            let item = Item { policy: &policies[*policy], subject: &subject(*key) };
            store.reset(item).await.unwrap();
            String::new()
        }
        Step::Forward(_) | Step::Back(_) => String::new(),
    }
}

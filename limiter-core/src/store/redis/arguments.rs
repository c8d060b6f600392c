//! What the script is told: see the head of `decide.lua`.

use crate::{
    ban::BanRule,
    policy::Mode,
    quota::{Algorithm, MAX_UNITS, Quota},
    store::{BanChange, Item},
    time::{Timestamp, micros},
};

/// State outlives its use by a minute, so that a clock that steps back finds
/// it; with a clock of the caller's own, by a day.
const SLACK: u64 = 60_000;
const SLACK_OF_OWN_CLOCK: u64 = 86_400_000;

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Decide(u64),
    Strike,
    ChangeBan(BanChange),
}

pub(super) fn arguments(
    operation: Operation,
    now: Option<Timestamp>,
    items: &[Item<'_>],
) -> Vec<String> {
    let (name, cost, duration) = match operation {
        Operation::Decide(cost) => ("decide", cost, 0),
        Operation::Strike => ("strike", 0, 0),
        Operation::ChangeBan(BanChange::Ban(duration)) => ("ban", 0, micros(duration)),
        Operation::ChangeBan(BanChange::Lift) => ("lift", 0, 0),
        Operation::ChangeBan(BanChange::Forgive) => ("forgive", 0, 0),
    };
    let mut arguments = vec![
        name.to_owned(),
        now.map_or_else(String::new, |now| now.as_micros().to_string()),
        now.map_or(SLACK, |_| SLACK_OF_OWN_CLOCK).to_string(),
        cost.min(MAX_UNITS).to_string(),
        duration.to_string(),
    ];
    for item in items {
        item_arguments(&mut arguments, item, cost);
    }
    arguments
}

fn item_arguments(arguments: &mut Vec<String>, item: &Item<'_>, cost: u64) {
    let quotas = item.policy.quotas();
    arguments.push(if item.policy.mode() == Mode::Shadow { "s" } else { "e" }.to_owned());
    arguments.push(quotas.len().to_string());
    arguments.push(flag(item.policy.ban().is_some()));
    for quota in quotas.iter() {
        quota_arguments(arguments, quota, cost);
    }
    if let Some(rule) = item.policy.ban() {
        rule_arguments(arguments, rule, item.subject.bannable);
    }
}

fn quota_arguments(arguments: &mut Vec<String>, quota: &Quota, cost: u64) {
    let kind = match quota.algorithm() {
        Algorithm::Gcra => "g",
        Algorithm::FixedWindow => "f",
        Algorithm::SlidingWindow => "s",
    };
    arguments.push(kind.to_owned());
    arguments.push(quota.limit().to_string());
    arguments.push(quota.window_micros().to_string());
    arguments.push(flag(cost > quota.burst()));
    if quota.algorithm() == Algorithm::Gcra {
        arguments.push(quota.burst().to_string());
        for units in
            [cost.min(MAX_UNITS).into(), quota.burst().into(), 2 * u128::from(quota.burst())]
        {
            // Never above 2^53: a bucket drains within a hundred years.
            let debt: u128 = units * u128::from(quota.window_micros());
            let limit = u128::from(quota.limit());
            arguments.push((debt / limit).to_string());
            arguments.push((debt % limit).to_string());
        }
    }
}

fn rule_arguments(arguments: &mut Vec<String>, rule: &BanRule, bannable: bool) {
    let numbers = rule.numbers();
    arguments.extend(numbers.map(|number| number.to_string()));
    arguments.push(flag(rule.strikes_on_refusal()));
    arguments.push(flag(bannable));
}

fn flag(set: bool) -> String {
    if set { "1" } else { "0" }.to_owned()
}

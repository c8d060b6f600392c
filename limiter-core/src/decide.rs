//! The rule itself: from what was before to the decision and what is after.
//!
//! Pure, and the only place where quotas, strikes and bans meet. Every store
//! runs it on the state it holds, or runs its mirror on the server and this on
//! the state that came back. For authors of stores, one check is:
//!
//! ```
//! use limiter_core::{Check, Key, Policy, Quota, State, Subject, Timestamp};
//! use limiter_core::decide::{Change, PriorState, decide};
//!
//! let policies = [Policy::new("api", Quota::per_minute(10)?)?];
//! let subjects = [Subject { key: Key::user("alice"), bannable: true }];
//! let check = Check::new(&policies, &subjects, 1);
//!
//! // Under a lock, or in a transaction: read what is kept, and the time.
//! let now = Timestamp::from_micros(60_000_000);
//! let kept: Option<State> = None;
//! let priors: Vec<_> =
//!     check.items().map(|item| PriorState::new(item, [kept], None, None, now)).collect();
//!
//! // Decide, and write what changed.
//! let outcome = decide(&check, &priors, now);
//! assert!(outcome.decision.is_allowed());
//! let Change::Charged(levels) = &outcome.changes[0] else { panic!("nothing was charged") };
//! assert_eq!(
//!     levels[0].state(),
//!     Some(State::Gcra { tat: 66_000_000, fraction: 0, limit: 10, burst: 10 }),
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "memory")]
mod calm;

use smallvec::SmallVec;

#[cfg(feature = "memory")]
pub(crate) use self::calm::is_charged;
pub use crate::{
    algorithm::{Inherited, Usage},
    ban::BanRecord,
    outage_usage::OutageUsage,
};
use crate::{
    algorithm::{State, Wait},
    ban::Ban,
    decision::{Decision, QuotaStatus},
    policy::Mode,
    store::{Check, Item},
    time::Timestamp,
};

/// One level a quota, in the policy's order.
pub type Levels = SmallVec<[Usage; 1]>;

/// What is known of one item before the check.
#[derive(Clone, Debug)]
pub struct PriorState {
    pub(crate) levels: Levels,
    /// Where the policy has a ban rule and the subject may be banned. Items
    /// that share a group and a key share one and the same.
    pub(crate) offender: Option<BanRecord>,
}

impl PriorState {
    /// What an item's state amounts to at `now`: one state a quota, in the
    /// policy's order, the strikes, and the last ban.
    #[must_use]
    pub fn new(
        item: Item<'_>,
        states: impl IntoIterator<Item = Option<State>>,
        strikes: Option<State>,
        ban: Option<Ban>,
        now: Timestamp,
    ) -> Self {
        let states = states.into_iter().chain(std::iter::repeat(None));
        let quotas = item.policy.quotas().iter();
        let rule = item.policy.ban().filter(|_| item.subject.bannable);
        Self {
            levels: quotas
                .zip(states)
                .map(|(quota, state)| Usage::at(*quota, state, now))
                .collect(),
            offender: rule.map(|rule| BanRecord::at(rule, strikes, ban, now)),
        }
    }
}

/// What a store has to write before it decides, where an item
/// [owes](Check::owed).
#[derive(Clone, Debug)]
pub struct Repaid {
    /// The levels, one a quota.
    pub levels: Levels,
    /// Strikes and ban, where a ban is owed.
    pub offender: Option<BanRecord>,
}

impl PriorState {
    /// What becomes of the item once it is charged what it owes. Of two bans
    /// the later end holds.
    #[must_use]
    pub fn repaid(&self, item: Item<'_>, owed: &OutageUsage, now: Timestamp) -> Repaid {
        let rule = item.policy.ban().zip(owed.ban_left());
        let banned = |offender: BanRecord| {
            rule.map(|(rule, (left, duration))| offender.owing(rule, left, duration, now))
        };
        Repaid { levels: owed.charged_to(&self.levels), offender: self.offender.and_then(banned) }
    }
}

/// What the store has to write for one item.
#[derive(Clone, Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// The request was charged: these are the levels now.
    Charged(Levels),
    /// The refusal struck: these are the strikes and the ban now.
    Struck(BanRecord),
}

/// The decision, and one change an item.
#[derive(Debug)]
pub struct Outcome {
    /// The answer.
    pub decision: Decision,
    /// What to write, in the order of the items.
    pub changes: SmallVec<[Change; 1]>,
}

/// Decides a check.
///
/// All enforced items together: a ban or a refusal of one charges none, a
/// refusal strikes where the refusing policy says so. Once they admit, each
/// shadow item is decided alone.
#[must_use]
pub fn decide(check: &Check<'_>, priors: &[PriorState], now: Timestamp) -> Outcome {
    let cost = check.cost();
    let enforced = || {
        let pairs = check.items().zip(priors).enumerate();
        pairs.filter(|(_, (item, _))| item.policy.mode() == Mode::Enforce)
    };
    let old_ban = latest(enforced().map(|(at, (_, prior))| (at, banned_until(prior, now))));
    let wait = enforced().map(|(_, (_, prior))| wait(prior, cost)).max().unwrap_or(Wait::None);
    let admitted = old_ban.is_none() && wait == Wait::None;

    let changes: SmallVec<[Change; 1]> = check
        .items()
        .zip(priors)
        .map(|(item, prior)| match item.policy.mode() {
            Mode::Enforce if admitted => charge(prior, cost),
            Mode::Enforce if old_ban.is_none() => strike(item, prior, cost, now),
            Mode::Shadow if admitted => decide_shadow(item, prior, cost, now),
            Mode::Enforce | Mode::Shadow => Change::None,
        })
        .collect();

    let new_ban = latest_new(check, &changes, Mode::Enforce, now);
    let ban = old_ban.or(new_ban);
    let decision = Decision {
        new_ban: new_ban.is_some(),
        shadow_ban: latest_new(check, &changes, Mode::Shadow, now),
        ..Decision::of(now, ban, wait, statuses(check, priors, &changes))
    };
    Outcome { decision, changes }
}

/// The ban that ends last, and the position of its policy.
fn latest(bans: impl Iterator<Item = (usize, Option<Timestamp>)>) -> Option<(usize, Timestamp)> {
    bans.filter_map(|(at, until)| Some((at, until?))).max_by_key(|(_, until)| *until)
}

/// The same of the bans that this check has brought.
fn latest_new(
    check: &Check<'_>,
    changes: &[Change],
    mode: Mode,
    now: Timestamp,
) -> Option<(usize, Timestamp)> {
    let items = check.items().zip(changes).enumerate();
    latest(items.filter(|(_, (item, _))| item.policy.mode() == mode).map(|(at, (_, change))| {
        match change {
            Change::Struck(offender) => (at, offender.banned_until(now)),
            Change::None | Change::Charged(_) => (at, None),
        }
    }))
}

fn banned_until(prior: &PriorState, now: Timestamp) -> Option<Timestamp> {
    prior.offender.as_ref().and_then(|offender| offender.banned_until(now))
}

/// How long the slowest of the item's quotas makes the request wait.
fn wait(prior: &PriorState, cost: u64) -> Wait {
    prior.levels.iter().map(|level| level.wait(cost)).max().unwrap_or(Wait::None)
}

fn charge(prior: &PriorState, cost: u64) -> Change {
    if cost == 0 {
        return Change::None;
    }
    Change::Charged(prior.levels.iter().map(|level| level.charge(cost)).collect())
}

/// The strike of a refused request, if this item refuses it and counts that.
fn strike(item: Item<'_>, prior: &PriorState, cost: u64, now: Timestamp) -> Change {
    let refuses = cost > 0 && wait(prior, cost) != Wait::None;
    match (item.policy.ban(), prior.offender) {
        (Some(rule), Some(offender)) if refuses && rule.strikes_on_refusal() => {
            Change::Struck(offender.strike(rule, now))
        }
        _ => Change::None,
    }
}

fn decide_shadow(item: Item<'_>, prior: &PriorState, cost: u64, now: Timestamp) -> Change {
    if banned_until(prior, now).is_some() {
        Change::None
    } else if wait(prior, cost) == Wait::None {
        charge(prior, cost)
    } else {
        strike(item, prior, cost, now)
    }
}

fn statuses(
    check: &Check<'_>,
    priors: &[PriorState],
    changes: &[Change],
) -> SmallVec<[QuotaStatus; 1]> {
    let mut statuses = SmallVec::new();
    for (policy, (item, prior)) in check.items().zip(priors).enumerate() {
        for (index, before) in prior.levels.iter().enumerate() {
            let after = match changes.get(policy) {
                Some(Change::Charged(levels)) => levels[index],
                _ => *before,
            };
            statuses.push(QuotaStatus {
                policy,
                index,
                shadow: item.policy.mode() == Mode::Shadow,
                level: after,
                wait: before.wait(check.cost()),
            });
        }
    }
    statuses
}

#[cfg(test)]
mod tests;

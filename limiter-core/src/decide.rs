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
//! let subjects = [Subject::new(Key::user("alice"))];
//! let check = Check::new(&policies, &subjects, 1);
//!
//! // Under a lock, or in a transaction: read what is kept, and the time.
//! let now = Timestamp::from_micros(60_000_000);
//! let kept: Option<State> = None;
//! let priors: Vec<_> =
//!     check.items().map(|item| PriorState::new(item, [kept.clone()], None, None, now)).collect();
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

pub use crate::{
    algorithm::{Mark, Usage},
    ban::BanRecord,
    outage_usage::OutageUsage,
};
use crate::{
    algorithm::{State, Wait},
    ban::Ban,
    check::{Check, Item},
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    policy::Mode,
    short_list::ShortList,
    time::Timestamp,
};

/// One level a quota, in the policy's order.
pub type Levels = ShortList<Usage>;

/// The state of one item before the check.
#[derive(Clone, Debug)]
pub struct PriorState {
    pub(crate) levels: Levels,
    /// Where the policy has a ban rule and the subject may be banned. Items
    /// that share a group and a key share one and the same.
    pub(crate) offender: Option<BanRecord>,
}

impl PriorState {
    /// Returns the prior state of an item at `now`, from one stored state a quota, in the
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
        let rule = item.policy.ban().filter(|_| item.subject.is_bannable());
        Self {
            levels: quotas
                .zip(states)
                .map(|(quota, state)| Usage::at(*quota, state, now))
                .collect(),
            offender: rule.map(|rule| BanRecord::at(rule, strikes, ban, now)),
        }
    }

    /// Returns the usage of each quota, in the policy's order.
    #[must_use]
    pub fn usages(&self) -> &[Usage] {
        &self.levels
    }

    /// Returns strikes and ban, where the policy has a ban rule and the subject may be
    /// banned.
    #[must_use]
    pub const fn ban_record(&self) -> Option<&BanRecord> {
        self.offender.as_ref()
    }
}

/// Changes that a store writes before it decides, where an item
/// [brings](Check::outage_usage).
#[derive(Clone, Debug)]
pub struct Reconciled {
    /// The levels, one a quota.
    pub levels: Levels,
    /// Strikes and ban, where a ban was brought.
    pub offender: Option<BanRecord>,
}

impl PriorState {
    /// Returns the state of the item once its outage usage is charged. Of two bans
    /// the later end holds.
    #[must_use]
    pub fn reconciled(
        &self,
        item: Item<'_>,
        outage_usage: &OutageUsage,
        now: Timestamp,
    ) -> Reconciled {
        let rule = item.policy.ban().zip(outage_usage.ban_at(now));
        let banned = |offender: BanRecord| {
            rule.map(|(rule, outage_ban)| offender.with_outage_ban(rule, outage_ban, now))
        };
        Reconciled {
            levels: outage_usage.charged_to(&self.levels),
            offender: self.offender.and_then(banned),
        }
    }
}

/// Changes that the store writes for one item.
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
    /// The changes to write, in the order of the items.
    pub changes: ShortList<Change>,
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
    let old_ban =
        last_to_end(enforced().filter_map(|(policy, (_, prior))| ban_in_force(policy, prior, now)));
    let refused = enforced().any(|(_, (_, prior))| wait(prior, cost) != Wait::None);
    let admitted = old_ban.is_none() && !refused;

    let changes: ShortList<Change> = check
        .items()
        .zip(priors)
        .map(|(item, prior)| match item.policy.mode() {
            Mode::Enforce if admitted => charge(prior, cost),
            Mode::Enforce if old_ban.is_none() => strike(item, prior, cost, now),
            Mode::Shadow if admitted => decide_shadow(item, prior, cost, now),
            _ => Change::None,
        })
        .collect();

    let brought = bans_brought(check, &changes, now);
    let enforced = |ban: &PolicyBan| check.item(ban.policy).policy.mode() == Mode::Enforce;
    let new_ban = last_to_end(brought.iter().copied().filter(enforced));
    let shadow = if admitted { shadow_bans(check, priors, now) } else { ShortList::new() };
    let decision = Decision::of(now, old_ban, statuses(check, priors, &changes))
        .with_bans(new_ban, brought, shadow);
    Outcome { decision, changes }
}

/// Decides a check of policies that all enforce, and charges `quotas`, its
/// statuses, in place if it is admitted; [`decide`] gives the same answer.
/// Returns the decision, and whether there is a charge to write; `None` if the
/// refusal may be a strike, for which more has to be read.
#[cfg(feature = "memory")]
#[inline]
pub(crate) fn decide_without_strikes(
    check: &Check<'_>,
    ban: Option<PolicyBan>,
    mut quotas: ShortList<QuotaStatus>,
    now: Timestamp,
) -> Option<(Decision, bool)> {
    let refused = quotas.iter().any(QuotaStatus::refuses);
    let charged = ban.is_none() && !refused && check.cost() > 0;
    if refused && ban.is_none() && check.items().any(|item| item.may_strike()) {
        return None;
    }
    if charged {
        quotas.iter_mut().for_each(|status| status.usage.take(check.cost()));
    }
    Some((Decision::of(now, ban, quotas), charged))
}

/// Returns the ban that ends last.
fn last_to_end(bans: impl Iterator<Item = PolicyBan>) -> Option<PolicyBan> {
    bans.max_by_key(|ban| ban.until)
}

/// Returns the bans that this check has brought, one an offender: that of its last policy.
fn bans_brought(check: &Check<'_>, changes: &[Change], now: Timestamp) -> ShortList<PolicyBan> {
    let mut bans: Vec<PolicyBan> = Vec::new();
    for (policy, (item, change)) in check.items().zip(changes).enumerate() {
        let Change::Struck(offender) = change else { continue };
        let Some(until) = offender.banned_until(now) else { continue };
        bans.retain(|ban| !check.item(ban.policy).is_same_offender(&item));
        bans.push(PolicyBan { policy, until });
    }
    bans.into_iter().collect()
}

/// Returns the bans in force under shadow policies.
fn shadow_bans(check: &Check<'_>, priors: &[PriorState], now: Timestamp) -> ShortList<PolicyBan> {
    let items = check.items().zip(priors).enumerate();
    let shadow = items.filter(|(_, (item, _))| item.policy.mode() == Mode::Shadow);
    shadow.filter_map(|(policy, (_, prior))| ban_in_force(policy, prior, now)).collect()
}

fn ban_in_force(policy: usize, prior: &PriorState, now: Timestamp) -> Option<PolicyBan> {
    banned_until(prior, now).map(|until| PolicyBan { policy, until })
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
    Change::Charged(prior.levels.iter().map(|level| level.clone().charge(cost)).collect())
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
) -> ShortList<QuotaStatus> {
    let mut statuses = ShortList::new();
    for (policy, (item, prior)) in check.items().zip(priors).enumerate() {
        let shadow = item.policy.mode() == Mode::Shadow;
        for (quota, before) in prior.levels.iter().enumerate() {
            let at = QuotaPosition::new(policy, quota);
            let after = match changes.get(policy) {
                Some(Change::Charged(levels)) => &levels[quota],
                _ => before,
            };
            let wait = before.wait(check.cost());
            statuses.push(QuotaStatus::new(at, shadow, wait, after.summary()));
        }
    }
    statuses
}

#[cfg(test)]
mod tests;

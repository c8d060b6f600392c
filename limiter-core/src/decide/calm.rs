//! The same rule with less to carry about, where all policies enforce and nobody
//! is struck.

use smallvec::SmallVec;

use crate::{
    algorithm::Wait,
    ban::BanRule,
    decision::{Decision, QuotaStatus, Verdict},
    store::Check,
    time::Timestamp,
};

/// The ban that ends last, and the position of its policy.
type Latest = Option<(usize, Timestamp)>;

/// Whether the request is charged, that is, passes and costs something. `None` if
/// its refusal may strike, for which more has to be known.
#[inline]
pub(crate) fn is_charged(check: &Check<'_>, ban: Latest, wait: Wait) -> Option<bool> {
    match (ban, wait) {
        (None, Wait::None) => Some(check.cost() > 0),
        (None, _) if may_strike(check) => None,
        _ => Some(false),
    }
}

fn may_strike(check: &Check<'_>) -> bool {
    check.items().any(|item| {
        item.subject.bannable && item.policy.ban().is_some_and(BanRule::strikes_on_refusal)
    })
}

/// The decision, once that is done.
#[inline]
pub(crate) fn decision(
    now: Timestamp,
    ban: Latest,
    wait: Wait,
    quotas: SmallVec<[QuotaStatus; 1]>,
) -> Decision {
    let (verdict, wait) = match (ban, wait) {
        (Some((_, until)), wait) => {
            (Verdict::Banned, wait.max(Wait::Micros(until.micros_since(now))))
        }
        (None, Wait::None) => (Verdict::Allowed, wait),
        (None, _) => (Verdict::Limited, wait),
    };
    Decision { verdict, now, wait, ban, new_ban: false, shadow_ban: None, quotas }
}

//! The same rule where all policies enforce and nobody is struck.

use crate::{algorithm::Wait, ban::BanRule, store::Check, time::Timestamp};

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

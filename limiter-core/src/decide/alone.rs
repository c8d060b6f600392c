//! The same rule where there is little to decide: an enforced policy of one
//! quota, and a client that is not banned.

use smallvec::SmallVec;

use crate::{
    algorithm::{Level, Wait},
    ban::BanRule,
    decision::{Decision, QuotaStatus, Verdict},
    store::Item,
};

/// What [`decide`](super::decide) says of such a check.
pub(crate) struct Alone {
    wait: Wait,
    level: Level,
    charged: bool,
}

impl Alone {
    /// `None` if the refusal may strike, for which more has to be known.
    #[inline]
    pub(crate) fn new(item: Item<'_>, level: Level, cost: u64) -> Option<Self> {
        let wait = level.wait(cost);
        let admitted = wait == Wait::None;
        let strikes = item.policy.ban().is_some_and(BanRule::strikes_on_refusal);
        if !admitted && strikes && item.subject.bannable {
            return None;
        }
        let charged = admitted && cost > 0;
        Some(Self { wait, level: if charged { level.charge(cost) } else { level }, charged })
    }

    /// The level to write, if the request was charged.
    pub(crate) fn charged(&self) -> Option<&Level> {
        self.charged.then_some(&self.level)
    }

    #[inline]
    pub(crate) fn decision(self) -> Decision {
        let Self { wait, level, .. } = self;
        let mut quotas = SmallVec::new();
        quotas.push(QuotaStatus { policy: 0, index: 0, shadow: false, level, wait });
        Decision {
            verdict: if wait == Wait::None { Verdict::Allowed } else { Verdict::Limited },
            now: level.now(),
            wait,
            ban: None,
            new_ban: false,
            shadow_ban: None,
            quotas,
        }
    }
}

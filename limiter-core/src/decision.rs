//! What a check decided, and what is left: [`Decision`] and [`QuotaStatus`].

use std::time::Duration;

use smallvec::SmallVec;

use crate::{
    algorithm::{Usage, Wait},
    quota::Quota,
    time::Timestamp,
};

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It passes.
    Allowed,
    /// A quota refuses it: 429.
    Limited,
    /// Its key is banned: 403, unless the policy says 429.
    Banned,
}

/// How long the same request has to wait, if nothing else arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// Not at all.
    Now,
    /// Exactly so long: it passes then, and not a microsecond earlier.
    After(Duration),
    /// For ever: it asks for more than the quota ever holds.
    Never,
}

/// The answer to one check of one or several policies.
///
/// It holds numbers only; the [`PolicySet`](crate::PolicySet) that was asked
/// knows the names and [renders](crate::PolicySet::fields) the header fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) now: Timestamp,
    pub(crate) wait: Wait,
    /// The position of the policy whose ban holds longest, and that ban's end.
    pub(crate) ban: Option<(usize, Timestamp)>,
    pub(crate) new_ban: bool,
    /// The same of a shadow policy, where the request brought it.
    pub(crate) shadow_ban: Option<(usize, Timestamp)>,
    pub(crate) quotas: SmallVec<[QuotaStatus; 1]>,
}

impl Decision {
    /// What became of the request.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the request passes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allowed
    }

    /// How long the same request has to wait: until every quota that refuses
    /// it lets it pass, and the ban, if there is one, has ended.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        retry(self.wait)
    }

    /// The end of the ban, where the verdict is [`Verdict::Banned`].
    #[must_use]
    pub fn banned_until(&self) -> Option<Timestamp> {
        self.ban.map(|(_, until)| until)
    }

    /// Whether the ban began with this request.
    #[must_use]
    pub const fn is_new_ban(&self) -> bool {
        self.new_ban
    }

    /// When this was decided, by the store's clock.
    #[must_use]
    pub const fn decided_at(&self) -> Timestamp {
        self.now
    }

    /// Every quota of every policy asked, shadow ones included. Empty where
    /// the store failed and the policies admit meanwhile.
    #[must_use]
    pub fn quotas(&self) -> &[QuotaStatus] {
        &self.quotas
    }

    /// The enforced quota with the least remaining.
    #[must_use]
    pub fn tightest(&self) -> Option<&QuotaStatus> {
        self.quotas.iter().filter(|status| !status.shadow).min_by_key(|status| status.remaining())
    }

    /// What shadow policies alone would have refused.
    pub fn shadow_refusals(&self) -> impl Iterator<Item = &QuotaStatus> {
        self.quotas.iter().filter(|status| status.shadow && status.refuses())
    }

    /// Whether there is something in it that an operator wants to hear of.
    pub(crate) fn is_news(&self) -> bool {
        self.new_ban || self.shadow_ban.is_some() || self.shadow_refusals().next().is_some()
    }

    /// Puts policies to other positions: the one at `i` goes to `positions[i]`.
    pub(crate) fn move_to(&mut self, positions: &[usize]) {
        for status in &mut self.quotas {
            status.policy = positions[status.policy];
        }
        for (policy, _) in [&mut self.ban, &mut self.shadow_ban].into_iter().flatten() {
            *policy = positions[*policy];
        }
    }

    /// The same refusal, so much later.
    #[cfg(feature = "memory")]
    pub(crate) fn aged(&self, age: Duration) -> Self {
        let now = self.now.after(age);
        let later = |wait: Wait| match wait {
            Wait::Micros(wait) => Wait::Micros(wait.saturating_sub(now.micros_since(self.now))),
            other => other,
        };
        let aged = |status: &QuotaStatus| QuotaStatus {
            level: Usage::at(*status.quota(), status.level.state(), now),
            wait: later(status.wait),
            ..*status
        };
        Self {
            now,
            wait: later(self.wait),
            new_ban: false,
            shadow_ban: None,
            quotas: self.quotas.iter().map(aged).collect(),
            ..self.clone()
        }
    }

    /// What follows from the ban that holds longest, with the position of its
    /// policy, and from the longest wait of enforced quotas.
    #[inline]
    pub(crate) fn of(
        now: Timestamp,
        ban: Option<(usize, Timestamp)>,
        wait: Wait,
        quotas: SmallVec<[QuotaStatus; 1]>,
    ) -> Self {
        let (verdict, wait) = match (ban, wait) {
            (Some((_, until)), wait) => {
                (Verdict::Banned, wait.max(Wait::Micros(until.micros_since(now))))
            }
            (None, Wait::None) => (Verdict::Allowed, wait),
            (None, _) => (Verdict::Limited, wait),
        };
        Self { verdict, now, wait, ban, new_ban: false, shadow_ban: None, quotas }
    }

    /// A ban by the policy at that position, without having asked the store.
    pub(crate) fn banned(at: usize, until: Timestamp, now: Timestamp) -> Self {
        Self::of(now, Some((at, until)), Wait::None, SmallVec::new())
    }

    /// A decision to admit without having counted.
    #[inline]
    #[must_use]
    pub fn uncounted() -> Self {
        Self {
            verdict: Verdict::Allowed,
            now: Timestamp::default(),
            wait: Wait::None,
            ban: None,
            new_ban: false,
            shadow_ban: None,
            quotas: SmallVec::new(),
        }
    }
}

/// One quota of one policy, as the request left it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QuotaStatus {
    pub(crate) policy: usize,
    pub(crate) index: usize,
    pub(crate) shadow: bool,
    pub(crate) level: Usage,
    pub(crate) wait: Wait,
}

impl QuotaStatus {
    /// The position of the policy among those asked.
    #[must_use]
    pub const fn policy(&self) -> usize {
        self.policy
    }

    /// The quota.
    #[must_use]
    pub const fn quota(&self) -> &Quota {
        self.level.quota()
    }

    /// Units per window.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.quota().limit()
    }

    /// Units left, after this request if it was admitted.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.level.remaining()
    }

    /// How long until nothing is used any more, if nothing else arrives.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        Duration::from_micros(self.level.reset_after())
    }

    /// Whether this quota refused the request.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.wait != Wait::None
    }

    /// How long this quota alone makes the same request wait.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        retry(self.wait)
    }

    /// Whether the policy only watches.
    #[must_use]
    pub const fn is_shadow(&self) -> bool {
        self.shadow
    }
}

const fn retry(wait: Wait) -> Retry {
    match wait {
        Wait::None => Retry::Now,
        Wait::Micros(micros) => Retry::After(Duration::from_micros(micros)),
        Wait::Never => Retry::Never,
    }
}

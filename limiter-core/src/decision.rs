//! The result of a check: [`Decision`], with the status of each quota.

mod outcome;
mod quota_status;
mod retry;
mod serialize;

use self::outcome::Outcome;
pub(crate) use self::quota_status::QuotaPosition;
pub use self::{quota_status::QuotaStatus, retry::Retry};
use crate::{
    algorithm::{Usage, Wait},
    short_list::ShortList,
    time::Timestamp,
};
use serde::Serialize;

/// The outcome of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u64)]
#[non_exhaustive]
pub enum Verdict {
    /// It passes.
    Allowed,
    /// A quota refuses it: 429.
    Limited,
    /// Its key is banned: 403, unless the policy says 429.
    Banned,
}

/// The answer to one check of one or several policies.
///
/// It holds numbers only; the [`PolicySet`](crate::PolicySet) that was checked
/// knows the names and [renders](crate::PolicySet::fields) the header fields.
/// Remaining units, reset and retry are computed when they are read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a refusal is no error: nothing is enforced unless the decision is looked at"]
pub struct Decision {
    outcome: Outcome,
    pub(crate) now: Timestamp,
    pub(crate) quotas: ShortList<QuotaStatus>,
    /// In a box of its own, since few decisions have one and all are moved.
    bans: Option<Box<Bans>>,
}

/// The bans that a check has brought or met beside the one in force. Few decisions have any.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Bans {
    /// True if this check brought the ban in force.
    is_new: bool,
    /// Those that this check brought, under enforced and shadow policies.
    brought: ShortList<PolicyBan>,
    /// Those under shadow policies that were in force before.
    shadow: ShortList<PolicyBan>,
    /// True if it was decided in memory, while the store was away.
    is_of_fallback: bool,
}

/// A ban in force under one of the policies of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PolicyBan {
    /// The position of the policy in the check.
    pub(crate) policy: usize,
    pub(crate) until: Timestamp,
}

impl Decision {
    /// Returns the decision that follows from the ban that ends last, if there
    /// is one, and from the quotas.
    #[inline]
    pub(crate) fn of(
        now: Timestamp,
        ban: Option<PolicyBan>,
        quotas: ShortList<QuotaStatus>,
    ) -> Self {
        let refuses = |status: &QuotaStatus| !status.is_shadow() && status.refuses();
        let outcome = match ban {
            Some(ban) => Outcome::banned(ban),
            None if quotas.iter().any(refuses) => Outcome::limited(),
            None => Outcome::allowed(),
        };
        Self { outcome, now, quotas, bans: None }
    }

    /// Returns the decision that quotas which do not refuse come to.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) const fn admitted(now: Timestamp, quotas: ShortList<QuotaStatus>) -> Self {
        Self { outcome: Outcome::allowed(), now, quotas, bans: None }
    }

    /// Adds the bans that the check has brought, of which `enforced` is the one under an
    /// enforced policy that ends last, and those under shadow policies that were in
    /// force.
    pub(crate) fn with_bans(
        self,
        enforced: Option<PolicyBan>,
        brought: ShortList<PolicyBan>,
        shadow: ShortList<PolicyBan>,
    ) -> Self {
        if brought.is_empty() && shadow.is_empty() {
            return self;
        }
        let outcome = enforced.map_or(self.outcome, Outcome::banned);
        let is_new = enforced.is_some();
        let is_of_fallback = self.is_of_fallback();
        let bans = Bans { is_new, brought, shadow, is_of_fallback };
        Self { outcome, bans: Some(Box::new(bans)), ..self }
    }

    /// Returns the refusal of a ban that was known without a call to the store.
    #[cfg(feature = "memory")]
    pub(crate) fn banned(ban: PolicyBan, now: Timestamp) -> Self {
        Self::of(now, Some(ban), ShortList::new())
    }

    /// A decision to admit without having counted.
    #[inline]
    pub fn uncounted() -> Self {
        Self::of(Timestamp::default(), None, ShortList::new())
    }

    /// The verdict.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.outcome.verdict()
    }

    /// Returns true if the request passes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict() == Verdict::Allowed
    }

    /// How long the same request has to wait: until every quota that refuses
    /// it lets it pass, and the ban, if there is one, has ended.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::after(self.wait())
    }

    pub(crate) fn wait(&self) -> Wait {
        let enforced = self.quotas.iter().filter(|status| !status.is_shadow());
        let banned = self.ban().map(|ban| Wait::Micros(ban.until.micros_since(self.now)));
        enforced.map(QuotaStatus::wait).chain(banned).max().unwrap_or(Wait::None)
    }

    /// The end of the ban, where the verdict is [`Verdict::Banned`].
    #[must_use]
    pub fn banned_until(&self) -> Option<Timestamp> {
        self.ban().map(|ban| ban.until)
    }

    /// The ban in force that ends last.
    pub(crate) const fn ban(&self) -> Option<PolicyBan> {
        self.outcome.ban()
    }

    /// The bans that began with this request, under enforced and shadow policies.
    pub(crate) fn bans_brought(&self) -> &[PolicyBan] {
        self.bans.as_ref().map_or(&[], |bans| &bans.brought)
    }

    /// Returns true if that shadow policy would have refused the request because of a ban from
    /// before.
    pub(crate) fn is_shadow_banned(&self, policy: usize) -> bool {
        let shadow = self.bans.iter().flat_map(|bans| &bans.shadow);
        shadow.into_iter().any(|ban| ban.policy == policy)
    }

    /// Returns true if the ban began with this request.
    #[must_use]
    pub fn is_new_ban(&self) -> bool {
        self.bans.as_ref().is_some_and(|bans| bans.is_new)
    }

    /// When this was decided, by the store's clock.
    #[must_use]
    pub const fn decided_at(&self) -> Timestamp {
        self.now
    }

    /// Every quota of every policy checked, shadow ones included. Empty where
    /// the store failed and the policies admit meanwhile.
    #[must_use]
    pub fn quotas(&self) -> &[QuotaStatus] {
        &self.quotas
    }

    /// The enforced quota with the least remaining.
    #[must_use]
    pub fn tightest(&self) -> Option<&QuotaStatus> {
        self.quotas
            .iter()
            .filter(|status| !status.is_shadow())
            .min_by_key(|status| status.remaining())
    }

    /// The shadow quotas that would have refused the request.
    pub fn shadow_refusals(&self) -> impl Iterator<Item = &QuotaStatus> {
        self.quotas.iter().filter(|status| status.is_shadow() && status.refuses())
    }

    /// Returns true if the request passes without any ban.
    #[inline]
    pub(crate) const fn is_allowed_without_bans(&self) -> bool {
        matches!(self.verdict(), Verdict::Allowed) && self.bans.is_none()
    }

    /// The statuses of the quotas of one policy.
    pub(crate) fn quotas_of(&self, policy: usize) -> impl Iterator<Item = &QuotaStatus> + Clone {
        self.quotas.iter().filter(move |status| status.policy() == policy)
    }

    /// Notes that it was decided in memory, while the store was away.
    pub(crate) fn set_of_fallback(&mut self) {
        self.bans.get_or_insert_default().is_of_fallback = true;
    }

    /// Returns true if it was decided in memory, while the store was away.
    pub(crate) fn is_of_fallback(&self) -> bool {
        self.bans.as_ref().is_some_and(|bans| bans.is_of_fallback)
    }

    /// Replaces the usages of one policy by those after a settlement.
    pub(crate) fn set_usages(&mut self, policy: usize, usages: &[Usage]) {
        for status in self.quotas.iter_mut().filter(|status| status.policy() == policy) {
            if let Some(usage) = usages.get(status.index()) {
                status.usage = usage.summary();
                self.now = self.now.max(usage.now());
            }
        }
    }

    /// Returns the same decision as if the last `units` of its charge had not been charged.
    #[cfg(feature = "_shared")]
    pub(crate) fn without_last(&self, units: u64) -> Self {
        let mut decision = self.clone();
        for status in decision.quotas.iter_mut() {
            status.usage = status.usage.without_last(units);
        }
        decision
    }

    /// Takes over the statuses of one policy of another decision, at another
    /// position.
    pub(crate) fn take_statuses(&mut self, other: &Self, from: usize, to: usize) {
        let own = other.quotas.iter().filter(|status| status.policy() == from);
        self.quotas.extend(own.map(|status| status.moved_to(to)));
        self.now = other.now;
    }

    /// Renumbers the policies: the one at `i` becomes the one at `positions[i]`.
    pub(crate) fn move_to(&mut self, positions: &[usize]) {
        for status in self.quotas.iter_mut() {
            *status = status.moved_to(positions[status.policy()]);
        }
        if let Some(PolicyBan { policy, until }) = self.ban() {
            self.outcome = Outcome::banned(PolicyBan { policy: positions[policy], until });
        }
        if let Some(bans) = &mut self.bans {
            let Bans { brought, shadow, .. } = &mut **bans;
            for ban in brought.iter_mut().chain(&mut shadow[..]) {
                ban.policy = positions[ban.policy];
            }
        }
    }

    /// Returns the same refusal, `age` later.
    #[cfg(feature = "memory")]
    pub(crate) fn aged(&self, age: std::time::Duration) -> Self {
        let now = self.now.after(age);
        let aged = |status: &QuotaStatus| status.at(now);
        let ban = self.ban();
        Self { outcome: self.outcome, ..Self::of(now, ban, self.quotas.iter().map(aged).collect()) }
    }
}

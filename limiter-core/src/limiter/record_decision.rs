//! Records each decision for operators: counters, events, and the keys that
//! are refused. The one place for all adapters.

use super::{Inner, PolicySet};
use crate::{
    algorithm::Wait,
    ban::BanRule,
    check::{Check, Item},
    decision::{Decision, QuotaStatus, Verdict},
    error::Error,
    events::{BanCause, Event, Observer},
    key::Key,
    policy::{Mode, OnStoreError},
    quota::Quota,
    stats::counters::{LimiterCounter, PolicyCounter},
    time::{Clock, SystemClock, Timestamp},
};

/// The part that has decided a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DecidedBy {
    /// The store, which has counted the strikes of refusals.
    Store,
    /// The fallback, which has counted them, too.
    Fallback,
    /// The deny cache: nothing was counted.
    DenyCache,
    /// A slice that the store has charged.
    #[cfg(feature = "_shared")]
    Lease,
}

impl PolicySet {
    /// Records a decision. A look, of cost 0, is recorded if it is refused.
    #[inline]
    pub(super) fn record_decision(&self, check: &Check<'_>, decision: &Decision, by: DecidedBy) {
        if by != DecidedBy::Store || !self.record_admitted(check.cost(), decision) {
            self.record_any(check, decision, by);
        }
    }

    /// Records the commonest decision, that enforced policies admit which have all counted.
    /// Returns false, with nothing recorded, if it is another.
    #[inline]
    fn record_admitted(&self, cost: u64, decision: &Decision) -> bool {
        let (counters, quotas) = (self.counters(), decision.quotas());
        // In one pass, since the quotas of a policy follow one another.
        let of_policies = || quotas.chunk_by(|one, next| one.policy() == next.policy());
        let all_counted = of_policies().map(|quotas| quotas[0].policy()).eq(0..counters.len());
        let is_shadow = quotas.iter().any(QuotaStatus::is_shadow);
        if !decision.is_allowed_without_bans() || is_shadow || !all_counted {
            return false;
        }
        if cost > 0 {
            for (counters, quotas) in counters.iter().zip(of_policies()) {
                counters.add(allowed(quotas.iter().any(QuotaStatus::is_near_limit)));
            }
        }
        true
    }

    /// Records that a policy refuses a key of that digest: because of that quota, or by a ban
    /// where there is none. `now` is by the clock of this host.
    #[inline]
    pub(super) fn record_refused_key(
        &self,
        policy: usize,
        item: Item<'_>,
        quota: Option<Quota>,
        digest: u64,
        now: Timestamp,
    ) {
        let (key, is_banned) = (&item.subject.key, quota.is_none());
        let counter = if is_banned { PolicyCounter::Banned } else { PolicyCounter::Limited };
        self.counters()[policy].add(counter);
        self.note_refused_key(policy, key, quota, digest, now);
        let observers = &self.inner().observers;
        if observers.want_refusals() {
            let (policy, key) = (item.policy.reported_name().to_owned(), key.clone());
            observers.observe(&Event::Refused { policy, key, quota });
        }
    }

    #[inline]
    fn note_refused_key(
        &self,
        policy: usize,
        key: &Key,
        quota: Option<Quota>,
        digest: u64,
        now: Timestamp,
    ) {
        let counters = &self.counters()[policy];
        if !counters.refused_keys.note(digest, key, quota, now) {
            counters.add(PolicyCounter::UnnotedRefusals);
        }
    }

    /// Records any decision.
    #[inline(never)]
    fn record_any(&self, check: &Check<'_>, decision: &Decision, by: DecidedBy) {
        match by {
            DecidedBy::Store => {}
            DecidedBy::Fallback => self.inner().counters.add(LimiterCounter::FallbackDecisions),
            DecidedBy::DenyCache => self.inner().counters.add(LimiterCounter::DenyCacheHits),
            #[cfg(feature = "_shared")]
            DecidedBy::Lease => self.inner().counters.add(LimiterCounter::LeasedAdmissions),
        }
        for (policy, item) in check.items().enumerate() {
            let part = PolicyPart { set: self, check, decision, policy, item };
            match decision.verdict() {
                Verdict::Allowed => part.record_allowed(),
                Verdict::Limited | Verdict::Banned => part.record_refusal(by),
            }
        }
        for ban in decision.bans_brought() {
            self.inner().record_ban(check.item(ban.policy), ban.until, BanCause::Refusals);
        }
    }

    /// Records that a request got no decision.
    #[cold]
    pub(super) fn record_error(&self, error: &Error) {
        for (policy, counters) in self.policies().iter().zip(self.counters()) {
            let refuses = match error {
                Error::Unavailable(_) => policy.on_store_error() == OnStoreError::Deny,
                _ => true,
            };
            if refuses && policy.mode() == Mode::Enforce {
                counters.add(PolicyCounter::Unavailable);
            }
        }
    }
}

impl Inner {
    /// Records a new ban.
    pub(super) fn record_ban(&self, item: Item<'_>, until: Timestamp, cause: BanCause) {
        let (policy, key) = (item.policy.reported_name().to_owned(), item.subject.key.clone());
        let counters = self.counters.of_policy(&policy);
        let event = if item.policy.mode() == Mode::Shadow {
            counters.add(PolicyCounter::ShadowBans);
            Event::WouldBeBanned { policy, key, until, cause }
        } else {
            counters.add(match cause {
                BanCause::Refusals => PolicyCounter::BansByRefusal,
                BanCause::Responses => PolicyCounter::BansByResponse,
                BanCause::Operator => PolicyCounter::BansByHand,
            });
            Event::Banned { policy, key, until, cause }
        };
        self.observers.observe(&event);
        #[cfg(feature = "_shared")]
        self.end_slices_of(item);
    }
}

pub(super) const fn allowed(is_near_limit: bool) -> PolicyCounter {
    if is_near_limit { PolicyCounter::AllowedNearLimit } else { PolicyCounter::Allowed }
}

/// One policy's part of a decision.
#[derive(Clone, Copy)]
struct PolicyPart<'a> {
    set: &'a PolicySet,
    check: &'a Check<'a>,
    decision: &'a Decision,
    policy: usize,
    item: Item<'a>,
}

impl PolicyPart<'_> {
    fn add(&self, counter: PolicyCounter) {
        self.set.counters()[self.policy].add(counter);
    }

    /// Records a request that passes.
    fn record_allowed(&self) {
        let mut quotas = self.decision.quotas_of(self.policy).peekable();
        if quotas.peek().is_none() {
            return self.add(PolicyCounter::Uncounted);
        }
        if self.item.policy.mode() == Mode::Shadow && self.record_shadow_refusal() {
            return;
        }
        if self.check.cost() > 0 {
            self.add(allowed(quotas.any(QuotaStatus::is_near_limit)));
        }
    }

    /// Records what a policy would have done to a request that the others admit. Returns
    /// false if it would have admitted it.
    fn record_shadow_refusal(&self) -> bool {
        let refuses = self.decision.quotas_of(self.policy).any(QuotaStatus::refuses);
        let was_banned = self.decision.is_shadow_banned(self.policy);
        if !was_banned && !refuses {
            return false;
        }
        if !was_banned {
            self.record_strike(PolicyCounter::ShadowStrikes);
        }
        let is_banned = was_banned || self.has_brought_ban();
        let counter =
            if is_banned { PolicyCounter::ShadowBanned } else { PolicyCounter::ShadowLimited };
        self.add(counter);
        let (key, quota) = (&self.item.subject.key, self.refusing_quota(is_banned));
        self.set.note_refused_key(self.policy, key, quota, key.keyed_hash(), SystemClock.now());
        self.set.report_shadow_refusal(self.policy, &self.item.subject.key);
        true
    }

    /// Records a refused request, if this policy is one that refuses it.
    fn record_refusal(&self, by: DecidedBy) {
        if self.item.policy.mode() != Mode::Enforce {
            return;
        }
        let decision = self.decision;
        let had_ban = decision.verdict() == Verdict::Banned && !decision.is_new_ban();
        let refuses = !had_ban && decision.quotas_of(self.policy).any(QuotaStatus::refuses);
        self.warn_of_vain_cost();
        if refuses && self.check.cost() > 0 && by != DecidedBy::DenyCache {
            self.record_strike(PolicyCounter::Strikes);
        }
        let is_banned = decision.ban().is_some_and(|ban| ban.policy == self.policy);
        if is_banned || refuses {
            let digest = self.item.subject.key.keyed_hash();
            let (quota, now) = (self.refusing_quota(is_banned), SystemClock.now());
            self.set.record_refused_key(self.policy, self.item, quota, digest, now);
        }
    }

    fn warn_of_vain_cost(&self) {
        let Self { set, check, decision, policy, .. } = self;
        // Every quota holds one unit.
        if check.cost() > 1 && decision.wait() == Wait::Never {
            set.warn_of_vain_cost(*policy, check.cost(), decision);
        }
    }

    fn has_brought_ban(&self) -> bool {
        self.decision.bans_brought().iter().any(|ban| ban.policy == self.policy)
    }

    /// Counts the strike of a refusal. Of the policies that share it, the first counts it.
    fn record_strike(&self, counter: PolicyCounter) {
        let strikes = |item: &Item<'_>| {
            let rule = item.policy.ban().filter(|_| item.subject.is_bannable());
            rule.is_some_and(BanRule::strikes_on_refusal)
        };
        let mut before = self.check.items().enumerate().take(self.policy);
        let is_counted = before.any(|(policy, other)| {
            let mut quotas = self.decision.quotas_of(policy);
            strikes(&other)
                && other.is_same_offender(&self.item)
                && quotas.any(QuotaStatus::refuses)
        });
        if strikes(&self.item) && !is_counted {
            self.add(counter);
        }
    }

    /// The quota that makes the request wait longest; `None` if a ban refuses it.
    fn refusing_quota(&self, is_banned: bool) -> Option<Quota> {
        let quotas = self.decision.quotas_of(self.policy).filter(|_| !is_banned);
        quotas.max_by_key(|status| status.wait()).map(|status| *status.quota())
    }
}

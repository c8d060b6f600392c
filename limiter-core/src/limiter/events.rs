//! What an operator hears of.

use std::sync::atomic::Ordering;

use super::PolicySet;
use crate::{
    decision::Decision,
    key::{Key, KeyPart},
    policy::{Mode, Policy},
    request::Subjects,
    time::Timestamp,
};

impl PolicySet {
    /// Logs what an operator wants to hear of: new bans, and what shadow
    /// policies would have refused.
    #[inline]
    pub(super) fn report(&self, decision: &Decision, subjects: &Subjects) {
        if decision.is_news() {
            self.report_news(decision, subjects);
        }
    }

    /// Warns, once a limiter, of a user that was found too late.
    #[cold]
    pub(super) fn warn_of_late_user(&self) {
        if self.inner().warned_of_late_user.swap(true, Ordering::Relaxed) {
            return;
        }
        let by_user = |policy: &&Policy| policy.key().parts().contains(&KeyPart::User);
        let policy = self.policies().iter().find(by_user).map_or("", Policy::name);
        tracing::warn!(
            policy,
            "a request had no user when a policy with the key \"user\" counted it, so that its \
             address was counted, and has one now; let the authentication run before the limit: \
             in actix-web .wrap(limit).wrap(authentication), in Rocket a guard that calls set_user \
             before RateLimited"
        );
    }

    #[cold]
    fn report_news(&self, decision: &Decision, subjects: &Subjects) {
        let new_ban = if decision.is_new_ban() { decision.ban() } else { None };
        for ban in new_ban.into_iter().chain(decision.new_shadow_ban()) {
            report_ban(&self.policies()[ban.policy], &subjects[ban.policy].key, ban.until);
        }
        for status in decision.shadow_refusals() {
            tracing::info!(
                policy = self.quota_name(status),
                key = %subjects[status.policy()].key,
                "would have been refused (shadow)"
            );
        }
    }
}

pub(super) fn report_ban(policy: &Policy, key: &Key, until: Timestamp) {
    let (policy, mode, until) = (policy.name(), policy.mode(), until.as_micros());
    match mode {
        Mode::Enforce => tracing::info!(policy, %key, until, "banned"),
        _ => tracing::info!(policy, %key, until, "would be banned (shadow)"),
    }
}

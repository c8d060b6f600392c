//! What an operator hears of.

use super::PolicySet;
use crate::{
    decision::Decision,
    key::Key,
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

//! Log lines: bans, shadow refusals, mistakes in the application.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use super::PolicySet;
use crate::{
    decision::{Decision, QuotaStatus},
    key::{Key, KeyPart},
    policy::{Mode, Policy},
    request::Subjects,
    time::{Clock, SystemClock, Timestamp},
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
        let mut refused: Vec<_> = decision.shadow_refusals().map(QuotaStatus::policy).collect();
        refused.dedup();
        for policy in refused {
            let (policy, key) = (&self.policies()[policy], &subjects[policy].key);
            let refusals = self.inner().shadow_refusals.observe(policy.name(), SystemClock.now());
            if let Some(refusals) = refusals {
                let policy = policy.name();
                tracing::info!(policy, refusals, %key, "would have been refused (shadow)");
            }
        }
    }
}

/// How often the refusals of a shadow policy are logged.
const SHADOW_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The shadow refusals that are yet to be logged: one line a policy and
/// [`SHADOW_LOG_INTERVAL`], so that clients cannot fill the log.
#[derive(Debug, Default)]
pub(super) struct ShadowRefusals(Mutex<BTreeMap<String, UnloggedRefusals>>);

#[derive(Debug, Default)]
struct UnloggedRefusals {
    logged_at: Option<Timestamp>,
    count: u64,
}

impl ShadowRefusals {
    /// Counts a refusal. Returns how many there were since the last line, if it is
    /// time for the next one.
    fn observe(&self, policy: &str, now: Timestamp) -> Option<u64> {
        // The map is whole after each change, so a poisoned lock is taken all the same.
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unlogged = match policies.get_mut(policy) {
            Some(unlogged) => unlogged,
            None => policies.entry(policy.to_owned()).or_default(),
        };
        unlogged.count += 1;
        let is_due = unlogged.logged_at.is_none_or(|at| now.since(at) >= SHADOW_LOG_INTERVAL);
        is_due.then(|| {
            unlogged.logged_at = Some(now);
            std::mem::take(&mut unlogged.count)
        })
    }
}

pub(super) fn report_ban(policy: &Policy, key: &Key, until: Timestamp) {
    let (policy, mode, until) = (policy.name(), policy.mode(), until);
    match mode {
        Mode::Enforce => tracing::info!(policy, %key, %until, "banned"),
        _ => tracing::info!(policy, %key, %until, "would be banned (shadow)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_refusals_are_logged_once_an_interval_with_their_count() {
        let (refusals, start) = (ShadowRefusals::default(), Timestamp::from_micros(1_000_000));
        assert_eq!(refusals.observe("api", start), Some(1));
        for n in 0..1_000 {
            assert_eq!(refusals.observe("api", start.after_micros(n)), None);
        }
        assert_eq!(refusals.observe("other", start), Some(1));
        let due = start.after(SHADOW_LOG_INTERVAL);
        assert_eq!(refusals.observe("api", due), Some(1_001));
        assert_eq!(refusals.observe("api", due), None);
    }
}

//! Reports that are made once, or once in a while: shadow refusals, a late user.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use super::PolicySet;
use crate::{
    events::{Event, Observer},
    key::{Key, KeyPart},
    policy::Policy,
    time::{Clock, SystemClock, Timestamp},
};

impl PolicySet {
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

    /// Reports a refusal by a shadow policy, in one event a policy and interval.
    pub(super) fn report_shadow_refusal(&self, policy: usize, key: &Key) {
        let policy = self.policies()[policy].reported_name();
        let refusals = self.inner().shadow_refusals.observe(policy, SystemClock.now());
        if let Some(refusals) = refusals {
            let (policy, key) = (policy.to_owned(), key.clone());
            self.inner().observers.observe(&Event::WouldBeRefused { policy, refusals, key });
        }
    }
}

/// How often the refusals of a shadow policy are reported.
const SHADOW_INTERVAL: Duration = Duration::from_secs(10);

/// The shadow refusals that are yet to be reported: one event a policy and
/// [`SHADOW_INTERVAL`], so that clients cannot fill the log.
#[derive(Debug, Default)]
pub(super) struct ShadowRefusals(Mutex<BTreeMap<String, Unreported>>);

#[derive(Debug, Default)]
struct Unreported {
    reported_at: Option<Timestamp>,
    count: u64,
}

impl ShadowRefusals {
    /// Counts a refusal. Returns how many there were since the last event, if it is
    /// time for the next one.
    fn observe(&self, policy: &str, now: Timestamp) -> Option<u64> {
        // The map is whole after each change, so a poisoned lock is taken all the same.
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unreported = match policies.get_mut(policy) {
            Some(unreported) => unreported,
            None => policies.entry(policy.to_owned()).or_default(),
        };
        unreported.count += 1;
        let is_due = unreported.reported_at.is_none_or(|at| now.since(at) >= SHADOW_INTERVAL);
        is_due.then(|| {
            unreported.reported_at = Some(now);
            std::mem::take(&mut unreported.count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_refusals_are_reported_once_an_interval_with_their_count() {
        let (refusals, start) = (ShadowRefusals::default(), Timestamp::from_micros(1_000_000));
        assert_eq!(refusals.observe("api", start), Some(1));
        for n in 0..1_000 {
            assert_eq!(refusals.observe("api", start.after_micros(n)), None);
        }
        assert_eq!(refusals.observe("other", start), Some(1));
        let due = start.after(SHADOW_INTERVAL);
        assert_eq!(refusals.observe("api", due), Some(1_001));
        assert_eq!(refusals.observe("api", due), None);
    }
}

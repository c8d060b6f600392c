//! Reports that are made once, or once in a while, so that no client can fill the log: shadow
//! refusals, requests without a user, costs and keys that cannot be meant.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{Inner, PolicySet};
use crate::{
    algorithm::Wait,
    decision::Decision,
    events::{Event, Observer},
    key::{Key, KeyPart},
    policy::Policy,
    request::RequestInfo,
    time::{Clock, SystemClock, Timestamp},
};

/// The reports that a limiter has made, and what decides about the next.
#[derive(Debug, Default)]
pub(super) struct Reports {
    logged: LoggedWarnings,
    users: MissingUsers,
    /// True once the application has given a policy another key than its own.
    gives_keys: AtomicBool,
    shadow_refusals: ShadowRefusals,
}

impl PolicySet {
    /// Returns true if a request has no user. Warns if none of the first requests has one.
    pub(super) fn lacks_user(&self, request: &dyn RequestInfo) -> bool {
        let lacks_user = request.user().is_none();
        if self.inner().reports.users.is_missing(lacks_user) {
            tracing::warn!(
                policy = self.user_policy(),
                "none of the first {OBSERVED_FOR_USERS} requests that policies with the key \
                 \"user\" counted had a user, so that their addresses were counted; let the \
                 authentication set one before the limit: User in actix-web, set_user in Rocket"
            );
        }
        lacks_user
    }

    /// Warns, once a policy, of a user that was found too late.
    #[cold]
    pub(super) fn warn_of_late_user(&self) {
        let policy = self.user_policy();
        if self.inner().reports.logged.is_first(policy, Warning::LateUser) {
            tracing::warn!(
                policy,
                "a request had no user when a policy with the key \"user\" counted it, so that \
                 its address was counted, and has one now; let the authentication run before the \
                 limit: in actix-web .wrap(limit).wrap(authentication), in Rocket a guard that \
                 calls set_user before RateLimited"
            );
        }
    }

    /// Warns, once a policy, of a cost that is more than a quota ever holds.
    #[cold]
    pub(super) fn warn_of_vain_cost(&self, policy: usize, cost: u64, decision: &Decision) {
        let mut quotas = decision.quotas_of(policy);
        let Some(status) = quotas.find(|status| status.wait() == Wait::Never) else { return };
        let (policy, quota) = (self.policies()[policy].reported_name(), status.quota());
        if self.inner().reports.logged.is_first(policy, Warning::VainCost) {
            let burst = quota.burst();
            tracing::warn!(
                policy,
                "a request of the cost {cost} can never pass: the quota {quota} holds {burst} at \
                 most; lower the cost, or raise the limit or its burst"
            );
        }
    }

    fn user_policy(&self) -> &str {
        let by_user = |policy: &&Policy| policy.key().parts().contains(&KeyPart::User);
        self.policies().iter().find(by_user).map_or("", Policy::name)
    }

    /// Reports a refusal by a shadow policy, in one event a policy and interval.
    pub(super) fn report_shadow_refusal(&self, policy: usize, key: &Key) {
        let policy = self.policies()[policy].reported_name();
        let refusals = self.inner().reports.shadow_refusals.observe(policy, SystemClock.now());
        if let Some(refusals) = refusals {
            let (policy, key) = (policy.to_owned(), key.clone());
            self.inner().observers.observe(&Event::WouldBeRefused { policy, refusals, key });
        }
    }
}

impl Inner {
    /// Notes that the application gives policies other keys than their own.
    #[inline]
    pub(super) fn note_given_keys(&self) {
        // Read first: a store from each thread would move the line between them.
        if !self.reports.gives_keys.load(Ordering::Relaxed) {
            self.reports.gives_keys.store(true, Ordering::Relaxed);
        }
    }

    /// Warns, once a policy, of a key that is changed by hand and that no request has, unless
    /// the application gives policies other keys than their own.
    pub(super) fn warn_of_foreign_key(&self, policy: &Policy, key: &Key) {
        if policy.key().may_make(key) || self.reports.gives_keys.load(Ordering::Relaxed) {
            return;
        }
        let name = policy.reported_name();
        if self.reports.logged.is_first(name, Warning::ForeignKey) {
            tracing::warn!(
                policy = name,
                %key,
                "a change by hand has no effect on any request: the policy counts by \"{}\", which \
                 makes no such key",
                policy.key()
            );
        }
    }
}

/// A mistake that is warned of once a policy.
#[derive(Clone, Copy, Debug)]
enum Warning {
    LateUser = 1,
    VainCost = 2,
    ForeignKey = 4,
}

/// The warnings that were logged: a bit of each, by the name of the policy.
#[derive(Debug, Default)]
struct LoggedWarnings(Mutex<BTreeMap<String, u8>>);

impl LoggedWarnings {
    fn is_first(&self, policy: &str, warning: Warning) -> bool {
        // The map is whole after each change, so a poisoned lock is taken all the same.
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let logged = match policies.get_mut(policy) {
            Some(logged) => logged,
            None => policies.entry(policy.to_owned()).or_default(),
        };
        let is_first = *logged & warning as u8 == 0;
        *logged |= warning as u8;
        is_first
    }
}

/// How many requests are observed, from the start, for one that has a user.
const OBSERVED_FOR_USERS: u32 = 1_000;

/// The requests without a user that policies with the key `"user"` have counted, until the
/// first that has one.
#[derive(Debug, Default)]
struct MissingUsers(AtomicU32);

impl MissingUsers {
    /// Observes a request. Returns true if it is the last one, and none had a user.
    fn is_missing(&self, lacks_user: bool) -> bool {
        if self.0.load(Ordering::Relaxed) >= OBSERVED_FOR_USERS {
            return false;
        }
        if !lacks_user {
            self.0.store(OBSERVED_FOR_USERS, Ordering::Relaxed);
            return false;
        }
        self.0.fetch_add(1, Ordering::Relaxed) + 1 == OBSERVED_FOR_USERS
    }
}

/// How often the refusals of a shadow policy are reported.
const SHADOW_INTERVAL: Duration = Duration::from_secs(10);

/// The shadow refusals that are yet to be reported: one event a policy and
/// [`SHADOW_INTERVAL`], so that clients cannot fill the log.
#[derive(Debug, Default)]
struct ShadowRefusals(Mutex<BTreeMap<String, Unreported>>);

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
    fn missing_users_are_reported_once_unless_there_is_one() {
        let observe =
            |users: &MissingUsers, n: u32| (0..n).filter(|_| users.is_missing(true)).count();
        let users = MissingUsers::default();
        assert_eq!([observe(&users, 999), observe(&users, 1), observe(&users, 5_000)], [0, 1, 0]);
        let users = MissingUsers::default();
        assert_eq!([observe(&users, 999), usize::from(users.is_missing(false))], [0, 0]);
        assert_eq!(observe(&users, 5_000), 0);
    }

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

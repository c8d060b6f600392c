//! Manual operations of a [`Limiter`]: ban, lift, forgive, list, reset.

use std::time::Duration;

use super::{Limiter, rules::Rules};
use crate::{
    ban::{Ban, BanChange, MAX_BAN},
    check::Item,
    error::Error,
    events::{BanCause, Event, Observer},
    key::Key,
    policy::Policy,
    store::BanPage,
    time::{Clock, SystemClock},
};

/// The most bans of one page.
const MAX_PAGE: usize = 10_000;

impl Limiter {
    /// Bans a key by hand, for that long from now, at most 3660 days. A longer
    /// ban in force stays.
    ///
    /// Here and below, `<policy>.address` is the count of addresses beside a
    /// policy whose key has a header.
    ///
    /// # Errors
    /// If the policy is unknown, has no ban rule, or the key is never to be
    /// banned; or if the store fails.
    pub async fn ban(&self, policy: &str, key: &Key, duration: Duration) -> Result<(), Error> {
        let rules = self.rules();
        let subject = rules.identity.subject(key.clone());
        if !subject.is_bannable() || rules.identity.is_proxy(key) {
            return Err(Error::NeverBanned);
        }
        self.change_ban(policy, key, BanChange::Ban(duration)).await?;
        let policy = find_banning(&rules, policy)?;
        let until = SystemClock.now().after(duration.min(MAX_BAN));
        self.0.record_ban(Item { policy, subject: &subject }, until, BanCause::Operator);
        Ok(())
    }

    /// Ends a key's ban. The next one still counts it, and is longer where the
    /// rule says so.
    ///
    /// # Errors
    /// If the policy is unknown or has no ban rule, or the store fails.
    pub async fn unban(&self, policy: &str, key: &Key) -> Result<(), Error> {
        self.change_ban(policy, key, BanChange::Lift).await?;
        let (policy, key) = (policy.to_owned(), key.clone());
        self.0.observers.observe(&Event::Lifted { policy, key });
        Ok(())
    }

    /// Ends a key's ban and forgets it, and all its strikes.
    ///
    /// # Errors
    /// As [`unban`](Self::unban).
    pub async fn forgive(&self, policy: &str, key: &Key) -> Result<(), Error> {
        self.forget_strikes(policy, key).await?;
        let (policy, key) = (policy.to_owned(), key.clone());
        self.0.observers.observe(&Event::Forgiven { policy, key });
        Ok(())
    }

    /// The ban on a key, if one is in force.
    ///
    /// # Errors
    /// As [`unban`](Self::unban).
    pub async fn banned(&self, policy: &str, key: &Key) -> Result<Option<Ban>, Error> {
        let rules = self.rules();
        let policy = find_banning(&rules, policy)?;
        let subject = &rules.identity.subject(key.clone());
        Ok(self.0.store.ban(Item { policy, subject }).await?)
    }

    /// The bans in force under a policy or its group, about `limit` of them (1
    /// to 10,000): the first page, or the one that begins where another [ended](BanPage::next).
    /// A ban that is in force all the while is in one page at least.
    ///
    /// Redis walks over all its keys for that.
    ///
    /// # Errors
    /// As [`unban`](Self::unban), or if `after` is not where a page has ended.
    pub async fn bans(
        &self,
        policy: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<BanPage, Error> {
        let rules = self.rules();
        let policy = find_banning(&rules, policy)?;
        Ok(self.0.store.bans(policy, after, limit.clamp(1, MAX_PAGE)).await?)
    }

    /// Forgets what a key has used of a policy's quotas; a ban stays.
    ///
    /// # Errors
    /// If the policy is unknown, or the store fails.
    pub async fn reset(&self, policy: &str, key: &Key) -> Result<(), Error> {
        let rules = self.rules();
        self.reset_item(&rules, rules.find_by_hand(policy)?, key).await
    }

    /// Forgets ban and strikes, and the strikes that are reserved.
    pub(super) async fn forget_strikes(&self, policy: &str, key: &Key) -> Result<(), Error> {
        self.change_ban(policy, key, BanChange::Forgive).await?;
        let rules = self.rules();
        let companions = rules.find_by_hand(policy)?.companions();
        for reservation in companions.iter().filter(|policy| policy.is_reservation()) {
            self.reset_item(&rules, reservation, key).await?;
        }
        Ok(())
    }

    async fn reset_item(&self, rules: &Rules, policy: &Policy, key: &Key) -> Result<(), Error> {
        self.0.warn_of_foreign_key(policy, key);
        let subject = &rules.identity.subject(key.clone());
        let item = Item { policy, subject };
        // Before, since their charge is about to be forgotten; and after, what was taken meanwhile.
        #[cfg(feature = "_shared")]
        self.0.discard_slices_of(item);
        self.0.store.reset(item).await?;
        self.0.fallback.reset(item);
        #[cfg(feature = "_shared")]
        self.0.discard_slices_of(item);
        Ok(())
    }

    pub(super) async fn change_ban(
        &self,
        policy: &str,
        key: &Key,
        change: BanChange,
    ) -> Result<(), Error> {
        let rules = self.rules();
        let policy = find_banning(&rules, policy)?;
        self.0.warn_of_foreign_key(policy, key);
        let subject = &rules.identity.subject(key.clone());
        let item = Item { policy, subject };
        self.0.store.change_ban(item, change).await?;
        self.0.fallback.changed_ban(item, change);
        Ok(())
    }
}

fn find_banning<'a>(rules: &'a Rules, name: &str) -> Result<&'a Policy, Error> {
    let policy = rules.find_by_hand(name)?;
    match policy.ban() {
        Some(_) => Ok(policy),
        None => Err(Error::NoBanRule(policy.name().to_owned())),
    }
}

//! Deny cache: refusals and bans that the store has returned, answered without a call
//! for up to a second.
//!
//! It never admits. A refusal ends when the same request would pass, counted from the
//! moment before the store was called, so that a client that keeps asking gets all that
//! it is entitled to. Once a second one request goes to the store again, while the
//! others are still answered from here: a refused client costs one call a second. A ban
//! answers for its client whatever else is in the check.
//!
//! Where refusals strike, a refusal is not answered from here, so that strikes go on
//! counting. It is kept all the same: while the store is away, refusals hold until
//! their retry and bans to their end.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::{
    algorithm::Wait,
    ban::BanRule,
    check::{Check, Item},
    decision::{Decision, PolicyBan, Verdict},
    expiring_cache::{CacheKey, CacheKeyPart, ExpiringCache},
    policy::Mode,
    stats::EntryStats,
    time::micros,
};

/// How long an entry answers without a call.
const FRESH: Duration = Duration::from_secs(1);

/// How many refusals, and how many bans, are kept.
const CAPACITY: u64 = 100_000;

pub(super) struct DenyCache {
    refusals: ExpiringCache<Entry>,
    bans: ExpiringCache<Entry>,
    /// True if anything was ever kept: a store in memory needs none of this.
    used: AtomicBool,
}

/// A refusal that the store has answered.
struct Entry {
    decision: Decision,
    /// When it was called.
    sent: Instant,
    /// How long the refusal or ban holds from then.
    holds: Duration,
    /// True if it answers while the store does, too.
    answers: bool,
    /// Microseconds from `sent` to the last request that was sent on.
    asked: AtomicU64,
}

impl Default for DenyCache {
    fn default() -> Self {
        let bounded = || ExpiringCache::new(CAPACITY, None);
        Self { refusals: bounded(), bans: bounded(), used: AtomicBool::new(false) }
    }
}

impl fmt::Debug for DenyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (refusals, bans) = (self.refusals.count(), self.bans.count());
        write!(f, "DenyCache({refusals} refusals, {bans} bans)")
    }
}

impl DenyCache {
    /// Returns true if a refusal was ever kept.
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// How many refusals and bans are kept.
    pub(super) fn entries(&self) -> [EntryStats; 2] {
        let of = |kind, count| EntryStats { kind, count, capacity: CAPACITY };
        let (refusals, bans) = (self.refusals.count(), self.bans.count());
        [of("known_refusals", refusals), of("known_bans", bans)]
    }

    /// Returns the refusal of a check, as it is now, if the store need not be called.
    pub(super) fn get(&self, check: &Check<'_>) -> Option<Decision> {
        self.find(check, Entry::answer)
    }

    /// Returns the refusal that would answer a check now, and leaves the turn to ask the
    /// store to a request.
    pub(super) fn peek(&self, check: &Check<'_>) -> Option<Decision> {
        self.find(check, |entry| entry.answering().filter(|age| !entry.is_due(*age)))
    }

    /// Returns the refusal of a check that still holds while the store is away.
    pub(super) fn get_while_away(&self, check: &Check<'_>) -> Option<Decision> {
        self.find(check, |entry| {
            let age = entry.sent.elapsed();
            (age < entry.holds).then_some(age)
        })
    }

    fn find(&self, check: &Check<'_>, age: fn(&Entry) -> Option<Duration>) -> Option<Decision> {
        if !self.is_used() {
            return None;
        }
        if let Some(entry) = self.refusals.get(&check_id(check))
            && let Some(age) = age(&entry)
        {
            return Some(entry.decision.aged(age));
        }
        self.find_ban(check, age)
    }

    /// The ban that ends last of those known.
    fn find_ban(&self, check: &Check<'_>, age: fn(&Entry) -> Option<Duration>) -> Option<Decision> {
        let known = check.items().enumerate().filter(|(_, item)| can_be_banned(item));
        let known = known.filter_map(|(policy, item)| {
            let entry = self.bans.get(&ban_id(item))?;
            Some((policy, age(&entry)?, entry))
        });
        let (policy, age, entry) =
            known.max_by_key(|(_, age, entry)| entry.holds.saturating_sub(*age))?;
        let now = entry.decision.now.after(age);
        let until = entry.decision.banned_until()?;
        Some(Decision::banned(PolicyBan { policy, until }, now))
    }

    /// Keeps what the store, called at `sent`, has answered, if that is a refusal that
    /// ends; else forgets what it has answered before.
    pub(super) fn put(&self, check: &Check<'_>, decision: &Decision, sent: Instant) {
        if decision.verdict() == Verdict::Allowed && !self.is_used() {
            return;
        }
        self.put_ban(check, decision, sent);
        match decision.wait() {
            Wait::Micros(wait) if decision.verdict() != Verdict::Allowed => {
                let answers = decision.verdict() == Verdict::Banned || !may_strike(check);
                let entry = Entry::new(decision, sent, Duration::from_micros(wait), answers);
                self.used.store(true, Ordering::Relaxed);
                self.refusals.insert(check_id(check), entry, Some(Duration::from_micros(wait)));
            }
            _ => drop(self.refusals.remove(&check_id(check))),
        }
    }

    fn put_ban(&self, check: &Check<'_>, decision: &Decision, sent: Instant) {
        let ban = decision.ban();
        for (policy, item) in check.items().enumerate().filter(|(_, item)| can_be_banned(item)) {
            if let Some(ban) = ban.filter(|ban| ban.policy == policy) {
                let entry = Entry::new(decision, sent, ban.until.since(decision.now), true);
                let holds = Some(entry.holds);
                self.bans.insert(ban_id(item), entry, holds);
            } else if decision.verdict() != Verdict::Banned {
                // The store knows of none any more.
                self.bans.remove(&ban_id(item));
            }
        }
    }

    /// Forgets the refusal of a check: what somebody was charged was given back.
    pub(super) fn forget(&self, check: &Check<'_>) {
        if self.is_used() {
            self.refusals.remove(&check_id(check));
        }
    }

    /// Forgets everything: something was changed by hand.
    pub(super) fn clear(&self) {
        self.refusals.clear();
        self.bans.clear();
    }
}

impl Entry {
    fn new(decision: &Decision, sent: Instant, holds: Duration, answers: bool) -> Self {
        Self { decision: decision.clone(), sent, holds, answers, asked: AtomicU64::new(0) }
    }

    /// The age at which it answers now. `None` if it does not, or if this request is the
    /// one of this second that goes to the store.
    fn answer(&self) -> Option<Duration> {
        let age = self.answering()?;
        let (now, fresh) = (micros(age), micros(FRESH));
        let due = |asked: u64| (now - asked.min(now) >= fresh).then_some(now);
        let asks = self.asked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok();
        if asks { None } else { Some(age) }
    }

    /// The age at which it answers, if it does so before the store.
    fn answering(&self) -> Option<Duration> {
        Some(self.sent.elapsed()).filter(|age| self.answers && *age < self.holds)
    }

    /// Returns true if a request of that age goes to the store.
    fn is_due(&self, age: Duration) -> bool {
        micros(age).saturating_sub(self.asked.load(Ordering::Relaxed)) >= micros(FRESH)
    }
}

/// Policies with their limits, whom they count, and the cost.
fn check_id(check: &Check<'_>) -> CacheKey {
    let part = |item: Item<'_>| CacheKeyPart {
        namespace: item.policy.limits(),
        key: item.subject.key.clone(),
        bannable: item.subject.is_bannable(),
    };
    CacheKey { parts: check.items().map(part).collect(), cost: check.cost() }
}

/// A namespace of bans, and the key that is banned.
fn ban_id(item: Item<'_>) -> CacheKey {
    CacheKey::of(item.policy.namespaces().bans, &item.subject.key)
}

fn can_be_banned(item: &Item<'_>) -> bool {
    item.policy.mode() == Mode::Enforce && item.subject.is_bannable() && item.policy.ban().is_some()
}

/// Returns true if a refusal of this check may be a strike.
fn may_strike(check: &Check<'_>) -> bool {
    let strikes = |item: &Item<'_>| item.policy.ban().is_some_and(BanRule::strikes_on_refusal);
    check.items().any(|item| can_be_banned(&item) && strikes(&item))
}

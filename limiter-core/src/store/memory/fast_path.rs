//! The commonest checks by the shortest way: policies that enforce, and nobody
//! that is struck or makes room.
//!
//! Each record is looked for once, and written where it was found. All else goes
//! the long way, which gives the same answers: a newcomer to a group that is
//! full, a refusal that strikes, a limit that was changed, a shadow policy.

use smallvec::SmallVec;

use super::locked_keys::{Held, One, Several};
use super::{
    MemoryStore, Shared,
    bucket::{Name, Place, Set},
    encoding,
};
use crate::{
    algorithm::Usage,
    decide::decide_without_strikes,
    decision::{Decision, PolicyBan, QuotaPosition, QuotaStatus},
    policy::{Counted, Kind},
    store::{Check, Item},
    time::Timestamp,
};

impl MemoryStore {
    /// `None` if it takes the long way.
    #[inline]
    pub(crate) fn decide_fast(&self, check: &Check<'_>) -> Option<Decision> {
        if !check.is_simple() {
            return None;
        }
        match (check.only_key(), only_record(check)) {
            (Some(key), Some(record)) => self.0.decide_one(check, One::lock(&self.0, key), record),
            (Some(key), None) => self.0.decide_all(check, One::lock(&self.0, key)),
            (None, _) => self.0.decide_all(check, Several::lock(&self.0, check)),
        }
    }
}

#[inline]
fn only_record<'a>(check: &Check<'a>) -> Option<&'a Counted> {
    let [counted] = &check.only_policy()?.hints().quotas[..] else { return None };
    Some(counted)
}

/// A record, or where it will be.
struct Found<'a> {
    /// The position of its item.
    item: usize,
    kind: &'a Kind,
    name: Name,
    at: Option<Place>,
}

impl Found<'_> {
    #[inline]
    fn level(&self, set: &Set, now: Timestamp, origin: Timestamp) -> Usage {
        match self.at {
            Some(at) => encoding::level(set, at, self.kind, now, origin),
            None => Usage::at(self.kind.quota, None, now),
        }
    }
}

impl Shared {
    /// What is known to be one alone is decided in place, without lists.
    #[inline]
    fn decide_one(
        &self,
        check: &Check<'_>,
        mut held: One<'_>,
        counted: &Counted,
    ) -> Option<Decision> {
        let now = self.clock.now();
        let ban = self.ban_of(check, &held, now);
        let found = self.find(&mut held, 0, counted, 1)?;
        let level = found.level(held.set(0), now, self.origin);
        let at = QuotaPosition { policy: 0, quota: 0 };
        let statuses = SmallVec::from_buf([QuotaStatus::new(at, false, level, check.cost())]);
        let (decision, charged) = decide_without_strikes(check, ban, statuses, now)?;
        if charged {
            self.write(&mut held, &found, &decision.quotas[0].usage);
        }
        Some(decision)
    }

    fn decide_all(&self, check: &Check<'_>, mut held: impl Held) -> Option<Decision> {
        let now = self.clock.now();
        let ban = self.ban_of(check, &held, now);
        let most = check.items().map(|item| item.policy.quotas().len()).sum();
        let mut quotas: SmallVec<[QuotaStatus; 1]> = SmallVec::with_capacity(most);
        let mut records: SmallVec<[Found<'_>; 4]> = SmallVec::new();
        for (policy, item) in check.items().enumerate() {
            for (quota, counted) in item.policy.hints().quotas.iter().enumerate() {
                let found = self.find(&mut held, policy, counted, most)?;
                let level = found.level(held.set(policy), now, self.origin);
                let at = QuotaPosition { policy, quota };
                quotas.push(QuotaStatus::new(at, false, level, check.cost()));
                records.push(found);
            }
        }
        let (decision, charged) = decide_without_strikes(check, ban, quotas, now)?;
        if charged {
            for (status, found) in decision.quotas.iter().zip(&records) {
                self.write(&mut held, found, &status.usage);
            }
        }
        Some(decision)
    }

    /// The ban that holds longest, and the position of its item.
    #[inline]
    fn ban_of(&self, check: &Check<'_>, held: &impl Held, now: Timestamp) -> Option<PolicyBan> {
        let until = |(policy, item): (usize, Item<'_>)| {
            if item.policy.ban().is_none() || !item.subject.bannable {
                return None;
            }
            let ban =
                self.bans.get(held.place(policy), item.policy.scope().bans, &item.subject.key)?;
            ban.holds(now).then_some(PolicyBan { policy, until: ban.until })
        };
        check.items().enumerate().filter_map(until).max_by_key(|ban| ban.until)
    }

    /// A record. `None` if there is no saying so, or if it is new
    /// and there may be no room.
    #[inline]
    fn find<'a>(
        &self,
        held: &mut impl Held,
        item: usize,
        Counted { kind, id }: &'a Counted,
        records: usize,
    ) -> Option<Found<'a>> {
        // With the lock held, the id stands for the same until it is released.
        let name = Name::new(held.hash(item), kind.scope, self.kinds.hinted(id)?);
        let set = held.set(item);
        let at = set.find(name);
        match at {
            // By a quota of other numbers.
            Some(at) if set.first(at).0 != name => None,
            None if self.table.is_tight(held.place(item), records) => None,
            _ => Some(Found { item, kind, name, at }),
        }
    }

    #[inline]
    fn write(&self, held: &mut impl Held, found: &Found<'_>, level: &Usage) {
        let Found { item, kind, name, at } = *found;
        if encoding::write(held.set(item), at, name, level, kind, self.origin) {
            self.table.added(held.place(item));
        }
    }
}

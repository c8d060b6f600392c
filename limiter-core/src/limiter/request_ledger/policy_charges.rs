//! Account: what one policy has charged one request for one key, and the total that it is
//! to be brought to.

use smallvec::SmallVec;

use crate::{
    algorithm::{Arithmetic, Mark, Usage},
    check::Subject,
    decide::Levels,
    limiter::Limiter,
    policy::Policy,
    quota::Quota,
    settlement::{Marks, Settled},
    short_list::ShortList,
    time::Timestamp,
};

/// How many charges of one account can be given back. Of more the oldest ones stand.
const MAX_CHARGES: usize = 16;

/// The charges of one policy for one key.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) limiter: Limiter,
    pub(super) policy: Policy,
    pub(super) subject: Subject,
    /// The cost at which the request was checked.
    pub(super) cost: u64,
    charges: SmallVec<[Charge; 1]>,
    /// The total that the charges are to be brought to.
    pub(super) target: u64,
    /// True if a status was recorded by which the request counts, whatever comes later.
    pub(super) counts_for_good: bool,
    /// True if a strike is to be stored.
    pub(super) strikes: bool,
    /// The usage after the last settlement.
    pub(super) usages: Option<Levels>,
}

/// A charge, and where its units went.
#[derive(Clone, Debug)]
pub(in crate::limiter) struct Charge {
    pub(in crate::limiter) units: u64,
    /// One a quota; none where the units are nowhere.
    pub(in crate::limiter) quotas: ShortList<ChargedQuota>,
    pub(in crate::limiter) place: ChargePlace,
    /// The instant of the charge, by the clock of that place.
    pub(in crate::limiter) at: Timestamp,
}

/// A quota that was charged, and the mark of the charge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::limiter) struct ChargedQuota {
    quota: Quota,
    mark: Mark,
}

impl ChargedQuota {
    /// Returns that of a usage right after the charge.
    pub(super) fn of<S: Arithmetic>(usage: &Usage<S>) -> Self {
        Self { quota: *usage.quota(), mark: usage.mark() }
    }

    /// Returns the mark of these units, charged before, and `units` that follow: in a window
    /// always, in a bucket if nobody else was charged in between. `None` if they do not.
    fn joined(&self, units: u64, following: &Self) -> Option<Self> {
        let (mark, next) = (self.mark, following.mark);
        if self.quota != following.quota {
            None
        } else if next.recorded_of(units) == 0 {
            let unrecorded = mark.unrecorded.saturating_add(units);
            Some(Self { mark: Mark { unrecorded, ..mark }, ..*self })
        } else {
            (next.before(&self.quota, units) == mark).then_some(*following)
        }
    }
}

/// Where units were charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::limiter) enum ChargePlace {
    Store,
    /// In this process, while the store was away.
    Fallback,
    /// Nowhere that they could be given back: the store failed, or there were too many
    /// charges.
    Lost,
}

impl Charge {
    /// Returns a charge that was settled so.
    pub(in crate::limiter) fn of(units: u64, settled: &Settled, place: ChargePlace) -> Self {
        let Settled { usages, marks, .. } = settled;
        let charged = usages.iter().zip(marks);
        let charged =
            charged.map(|(usage, mark)| ChargedQuota { quota: *usage.quota(), mark: *mark });
        let at = usages.first().map(Usage::now).unwrap_or_default();
        Self { units, quotas: charged.collect(), place, at }
    }

    /// Returns units that were charged nowhere.
    pub(in crate::limiter) fn lost(units: u64) -> Self {
        Self { units, quotas: ShortList::new(), place: ChargePlace::Lost, at: Timestamp::default() }
    }

    /// Adds a charge whose units follow those of this one directly; false if they do not.
    fn join(&mut self, following: &Self) -> bool {
        if self.place != following.place || self.quotas.len() != following.quotas.len() {
            return false;
        }
        let quotas = self.quotas.iter().zip(&following.quotas);
        let joined = quotas.map(|(own, next)| own.joined(following.units, next));
        let Some(quotas) = joined.collect::<Option<_>>() else { return false };
        self.units = self.units.saturating_add(following.units);
        self.quotas = quotas;
        true
    }

    /// Returns true if any of its units can be given back.
    fn is_recorded(&self) -> bool {
        self.place != ChargePlace::Lost
            && self.quotas.iter().any(|charged| charged.mark.recorded_of(self.units) > 0)
    }

    pub(super) fn marks(&self) -> Marks {
        self.quotas.iter().map(|charged| charged.mark).collect()
    }
}

impl Account {
    pub(super) fn new(limiter: &Limiter, policy: &Policy, subject: &Subject) -> Self {
        Self {
            limiter: limiter.clone(),
            policy: policy.clone(),
            subject: subject.clone(),
            cost: 0,
            charges: SmallVec::new(),
            target: 0,
            counts_for_good: false,
            strikes: false,
            usages: None,
        }
    }

    pub(super) fn is_of(&self, limiter: &Limiter, policy: &Policy, subject: &Subject) -> bool {
        self.limiter == *limiter
            && self.policy.has_counters_of(policy)
            && self.subject.key == subject.key
    }

    pub(super) fn total(&self) -> u64 {
        self.charges.iter().map(|charge| charge.units).fold(0, u64::saturating_add)
    }

    /// Adds a charge. Where there are too many, the two oldest become one that stands.
    pub(super) fn add(&mut self, charge: Charge) {
        if self.charges.last_mut().is_some_and(|last| last.join(&charge)) {
            return;
        }
        if self.charges.len() == MAX_CHARGES {
            let oldest = self.charges.remove(0);
            let next = &mut self.charges[0];
            next.units = next.units.saturating_add(oldest.units);
            (next.quotas, next.place) = (ShortList::new(), ChargePlace::Lost);
        }
        self.charges.push(charge);
    }

    /// Takes out the latest units that are too many, of one charge at most. Those that
    /// are nowhere are taken out without being given back.
    pub(super) fn take_refund(&mut self) -> Option<Charge> {
        loop {
            let too_many = self.total().checked_sub(self.target).filter(|units| *units > 0)?;
            let last = self.charges.last_mut()?;
            let refund = Charge { units: too_many.min(last.units), ..last.clone() };
            last.units -= refund.units;
            for ChargedQuota { quota, mark } in &mut last.quotas[..] {
                *mark = mark.before(quota, refund.units);
            }
            if last.units == 0 {
                self.charges.pop();
            }
            if refund.is_recorded() {
                return Some(refund);
            }
        }
    }
}

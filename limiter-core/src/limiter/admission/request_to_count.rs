//! A request on its way through the policies of a set: what each of them has still to be
//! charged, and the permit or refusal that follows.

use crate::{
    check::Subject,
    decision::Decision,
    limiter::{Admission, Limiter, Permit, PolicySet},
    policy::Policy,
    request::Subjects,
    response::Refusal,
    store::Answer,
};

/// A request that is to be counted by all policies of a set, or by a part of
/// them, at one cost.
#[derive(Clone)]
pub(in crate::limiter) struct RequestToCount {
    pub(in crate::limiter) policies: PolicySet,
    pub(in crate::limiter) subjects: Subjects,
    pub(in crate::limiter) cost: u64,
    /// True if a policy counts by user, and there is none.
    pub(in crate::limiter) lacks_user: bool,
}

/// A part of a request's policies, and what is left to charge them.
struct Charge {
    request: RequestToCount,
    units: u64,
}

impl RequestToCount {
    /// Admits a request that no limit has seen before.
    pub(super) fn admit_first(self) -> Answer<'static, Admission, Refusal> {
        let units = self.cost;
        let answer = self.policies.check_at_once(&self.subjects, units);
        if let Answer::Ready(Some(Ok(decision))) = answer {
            return Answer::ready(self.conclude(decision, None).map(Admission::Counted));
        }
        Answer::Pending(Box::pin(
            async move { self.charge(units, None).await.map(Admission::Counted) },
        ))
    }

    /// Admits a request that has got a permit before.
    ///
    /// Policies that have different amounts left to charge are decided one group
    /// after the other: like limits apart, a later refusal leaves the earlier
    /// group charged.
    pub(super) fn admit_after(self, previous: Permit) -> Answer<'static, Admission, Refusal> {
        let Some(Charge { request, units }) = self.next_charge(Some(&previous)) else {
            let permit = Permit::of_counted(self, &previous);
            return Answer::ready(Ok(Admission::AlreadyCounted(permit)));
        };
        if request.subjects.len() == self.subjects.len()
            && let Answer::Ready(Some(Ok(decision))) =
                request.policies.check_at_once(&request.subjects, units)
        {
            let permit = request.conclude(decision, Some(previous));
            return Answer::ready(permit.map(Admission::Counted));
        }
        self.admit_in_groups(Some(previous))
    }

    /// Charges the policies that have the most left to charge, and so on.
    pub(super) fn admit_in_groups(
        self,
        previous: Option<Permit>,
    ) -> Answer<'static, Admission, Refusal> {
        Answer::Pending(Box::pin(async move {
            let mut permit = previous;
            while let Some(Charge { request, units }) = self.next_charge(permit.as_ref()) {
                permit = Some(request.charge(units, permit).await?);
            }
            Ok(permit.map_or(Admission::Exempt, Admission::Counted))
        }))
    }

    /// Leaves out reserved strikes of those who cannot be banned.
    pub(super) fn without_vain_reservations(self) -> Self {
        let is_wanted = |(policy, subject): &(&Policy, &Subject)| {
            subject.is_bannable() || !policy.is_reservation()
        };
        if self.items().all(|item| is_wanted(&item)) {
            return self;
        }
        let (policies, subjects): (Vec<_>, Subjects) = self
            .items()
            .filter(is_wanted)
            .map(|(policy, subject)| (policy.clone(), subject.clone()))
            .unzip();
        let policies = self.policies.of_part(policies);
        Self { policies, subjects, ..self }
    }

    /// The policies with the most left to charge; `None` if nothing is left.
    fn next_charge(&self, previous: Option<&Permit>) -> Option<Charge> {
        let left: Vec<_> = self.items().map(|item| self.units_left(item, previous)).collect();
        let units = left.iter().copied().flatten().max()?;
        let group = self.items().zip(left).filter(|(_, left)| *left == Some(units));
        let (policies, subjects): (Vec<_>, Subjects) =
            group.map(|((policy, subject), _)| (policy.clone(), subject.clone())).unzip();
        let policies = if subjects.len() == self.subjects.len() {
            self.policies.clone()
        } else {
            self.policies.of_part(policies)
        };
        Some(Charge { request: Self { policies, subjects, ..self.clone() }, units })
    }

    /// The units that a policy has still to be charged; `None` if it has counted
    /// the request at this cost or more.
    fn units_left(&self, item: (&Policy, &Subject), previous: Option<&Permit>) -> Option<u64> {
        let (policy, subject) = item;
        let permits = previous.into_iter().flat_map(Permit::chain);
        let counted = permits.filter_map(|p| p.counted_at(self.limiter(), policy, subject));
        let cost = policy.cost_of(self.cost);
        match counted.max() {
            None => Some(cost),
            Some(counted) => cost.checked_sub(counted).filter(|left| *left > 0),
        }
    }

    /// Waits for the store's decision.
    async fn charge(self, units: u64, previous: Option<Permit>) -> Result<Permit, Refusal> {
        match self.policies.check(&self.subjects, units).await {
            Ok(decision) => self.conclude(decision, previous),
            Err(error) => Err(Refusal::of_error(&error)),
        }
    }

    #[inline]
    fn conclude(self, decision: Decision, previous: Option<Permit>) -> Result<Permit, Refusal> {
        if decision.is_allowed() {
            Ok(Permit::new(self, decision, previous))
        } else {
            Err(Refusal::of_decision(decision, self.subjects, self.policies.texts()))
        }
    }

    pub(in crate::limiter) fn items(&self) -> impl Iterator<Item = (&Policy, &Subject)> {
        self.policies.policies().iter().zip(&self.subjects)
    }

    fn limiter(&self) -> &Limiter {
        self.policies.limiter()
    }
}

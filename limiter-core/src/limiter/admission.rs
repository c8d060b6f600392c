//! A request that stands before a limit: [`Admission`].

use super::{Limiter, Permit, PolicySet};
use crate::{
    decision::Decision,
    error::Error,
    policy::Policy,
    request::Subjects,
    response::Refusal,
    store::{Answer, Subject},
};

/// A request that stands before a limit: what it is checked against, from
/// [`PolicySet::admission`], and then what it [passes](Permit) by.
///
/// ```
/// use limiter_core::{Key, Limiter, Policy, Quota};
///
/// # futures_executor::block_on(async {
/// # let policy = Policy::new("api", Quota::per_minute(10)?)?;
/// # let limiter = Limiter::builder().policy(policy).build().await?;
/// let api = limiter.policy("api")?;
/// let ask = api.admission(api.subjects_of(&Key::user("alice")), None).with_cost(3);
/// let decision = ask.check().await?;
/// let pass = ask.admit(decision).expect("nothing was used yet");
/// assert_eq!(pass.decision().quotas()[0].remaining(), 7);
/// // The handler runs.
/// pass.record_response(200).await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Admission {
    pub(super) policies: PolicySet,
    pub(super) subjects: Subjects,
    pub(super) cost: u64,
    /// The last limit that the request has passed already.
    pub(super) before: Option<Permit>,
    is_met: bool,
}

impl PolicySet {
    /// What is to be asked of a request at a cost of 1: this set, less the
    /// policies that have charged it for the same subject at a limit that it has
    /// passed `before`, as with nested scopes, several guards, a forward.
    ///
    /// One that all of them have charged is [met](Admission::is_met).
    #[must_use]
    pub fn admission(&self, subjects: Subjects, before: Option<Permit>) -> Admission {
        let policies = self.clone();
        let ask = Admission { policies, subjects, cost: 1, before, is_met: false };
        match &ask.before {
            None => ask,
            Some(_) => ask.less_what_has_charged(),
        }
    }
}

impl Admission {
    /// Asks for so many units; 0 only looks.
    #[must_use]
    pub fn with_cost(self, cost: u64) -> Self {
        let cost = if self.is_met { 0 } else { cost };
        Self { cost, ..self }
    }

    /// Whether there is nothing left to count. It is then about the whole set,
    /// and only looks.
    #[must_use]
    pub const fn is_met(&self) -> bool {
        self.is_met
    }

    /// What [`check`](Self::check) would say, where there is nothing to wait
    /// for: the store is this process's memory, and the check is one of the
    /// commonest kind. `None` if that is to be asked; nothing was done then.
    ///
    /// # Panics
    /// If there are not as many subjects as policies.
    #[inline]
    #[must_use]
    pub fn check_at_once(&self) -> Option<Decision> {
        self.policies.check_at_once(&self.subjects, self.cost)
    }

    /// Decides the request, and charges it if it is admitted: see
    /// [`PolicySet::check`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub fn check(&self) -> Answer<'_, Decision, Error> {
        self.policies.check(&self.subjects, self.cost)
    }

    /// Lets the request pass, or refuses it, as was decided.
    ///
    /// # Errors
    /// The response to a refused request.
    #[inline]
    pub fn admit(self, decision: Decision) -> Result<Permit, Refusal> {
        match self.policies.refusal(&decision) {
            Some(refusal) => Err(refusal),
            None => Ok(Permit::new(self, decision)),
        }
    }

    fn less_what_has_charged(self) -> Self {
        let items = self.policies.policies().iter().zip(&self.subjects);
        let left: Vec<_> =
            items.filter(|(policy, subject)| !self.was_charged(policy, subject)).collect();
        if left.len() == self.subjects.len() {
            return self;
        }
        if left.is_empty() {
            return Self { cost: 0, is_met: true, ..self };
        }
        let (policies, subjects): (Vec<_>, Subjects) =
            left.into_iter().map(|(policy, subject)| (policy.clone(), subject.clone())).unzip();
        Self { policies: PolicySet::new(self.limiter().clone(), policies), subjects, ..self }
    }

    fn was_charged(&self, policy: &Policy, subject: &Subject) -> bool {
        let mut passed = self.before.iter().flat_map(Permit::chain);
        passed.any(|pass| pass.has_charged(self.limiter(), policy, subject))
    }

    fn limiter(&self) -> &Limiter {
        self.policies.limiter()
    }
}

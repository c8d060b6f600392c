//! A request that a limit has let pass: [`Permit`].

use std::{
    borrow::Cow,
    future::poll_fn,
    iter,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
};

use smallvec::SmallVec;

use super::{Limiter, PolicySet, admission::RequestToCount, request_ledger::Ledger};
use crate::{
    check::{Check, Subject},
    decision::Decision,
    error::Error,
    key::Key,
    policy::Policy,
    request::{RequestInfo, Subjects},
    response::Fields,
};

/// A request that a limit has let pass, from [`PolicySet::admit`]: the decision,
/// the keys it was counted for, and what follows from its response.
///
/// Clones share it. Adapters keep the last one with each request, so that a
/// limit further in finds what the request has passed before.
#[derive(Clone, Debug)]
pub struct Permit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policies: PolicySet,
    subjects: Subjects,
    decision: Decision,
    /// The cost at which the request has been counted, charges before included.
    cost: u64,
    lacks_user: bool,
    previous: Option<Permit>,
    /// Bits of the policies that a limit further in has counted again, at a
    /// higher cost: their fields are that limit's to write. The bit [`SETTLED`] says
    /// that the fields show what was settled.
    superseded: AtomicU64,
    /// The charges of the request, once they are settled. The first permit keeps it
    /// for all.
    ledger: Mutex<Option<Box<Ledger>>>,
}

/// The bits of `superseded` that are no policy's: the fields show what was settled; the
/// charges are in the ledger.
const SETTLED: u64 = 1 << 63;
const ENTERED: u64 = 1 << 62;
const MAX_SUPERSEDED: usize = 62;

impl Permit {
    #[inline]
    pub(super) fn new(request: RequestToCount, decision: Decision, previous: Option<Self>) -> Self {
        if let Some(previous) = &previous {
            previous.supersede(&request);
        }
        let RequestToCount { policies, subjects, cost, lacks_user } = request;
        let (superseded, ledger) = (AtomicU64::new(0), Mutex::new(None));
        Self(Arc::new(Inner {
            policies,
            subjects,
            decision,
            cost,
            lacks_user,
            previous,
            superseded,
            ledger,
        }))
    }

    /// A permit for policies that all have counted the request before: it shows
    /// the statuses of then.
    pub(super) fn of_counted(request: RequestToCount, previous: &Self) -> Self {
        let mut decision = Decision::uncounted();
        for (at, (policy, subject)) in request.items().enumerate() {
            let limiter = request.policies.limiter();
            let counted =
                previous.chain().find_map(|p| Some((p, p.position(limiter, policy, subject)?)));
            if let Some((permit, position)) = counted {
                decision.take_statuses(permit.decision(), position, at);
            }
        }
        let RequestToCount { policies, subjects, .. } = request;
        Self(Arc::new(Inner {
            policies,
            subjects,
            decision,
            cost: 0,
            lacks_user: false,
            previous: Some(previous.clone()),
            superseded: AtomicU64::new(0),
            ledger: Mutex::new(None),
        }))
    }

    /// The decision, of the policies that this limit was the first to count the
    /// request by.
    pub fn decision(&self) -> &Decision {
        &self.0.decision
    }

    /// The policies of the decision.
    #[inline]
    #[must_use]
    pub fn policies(&self) -> &PolicySet {
        &self.0.policies
    }

    /// The keys that the request was counted for, each with its policy.
    pub fn keys(&self) -> impl Iterator<Item = (&Policy, &Key)> {
        self.items().map(|(policy, subject)| (policy, &subject.key))
    }

    /// The address that the request was counted for, if one of the keys has an
    /// address; of IPv6 its network's. For the address itself see
    /// [`Limiter::client_ip`].
    #[must_use]
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.chain().flat_map(Self::keys).find_map(|(_, key)| key.address())
    }

    /// The header fields that show the client what is left: see
    /// [`PolicySet::fields`].
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::collect(|write| self.write_fields(write))
    }

    /// Calls `write` with the name and value of each of the [`fields`](Self::fields):
    /// adapters put them into a response without a list in between.
    pub fn write_fields<'a>(&'a self, write: &mut dyn FnMut(&'static str, Cow<'a, str>)) {
        let superseded = self.0.superseded.load(Ordering::Relaxed);
        let texts = self.0.policies.texts();
        if superseded & SETTLED == 0 {
            return texts.write_fields(&self.0.decision, superseded & !ENTERED, write);
        }
        texts.write_fields(&self.settled_decision(), superseded & !(SETTLED | ENTERED), write);
    }

    /// This permit, and those that the same request has got before, the first
    /// one last.
    pub fn chain(&self) -> impl Iterator<Item = &Self> + Clone {
        iter::successors(Some(self), |permit| permit.0.previous.as_ref())
    }

    /// Ends the ban, and forgets the strikes, of the client of this request under
    /// a policy that has counted it: a login that succeeds forgives the failures
    /// before.
    ///
    /// # Errors
    /// If no limit that the request has passed has that policy, it has no ban
    /// rule, or the store fails.
    pub async fn forgive(&self, policy: &str) -> Result<(), Error> {
        let address = format!("{policy}.address");
        let counted = self.chain().flat_map(|permit| {
            permit.keys().map(|(own, key)| (permit.policies().limiter(), own.name(), key))
        });
        let own = |name: &str| name == policy || name == address;
        let counted: Vec<_> = counted.filter(|(_, name, _)| own(name)).collect();
        if counted.is_empty() {
            let counted = self.chain().flat_map(|permit| permit.policies().policies());
            let counted = counted.map(|policy| policy.name().to_owned()).collect();
            return Err(Error::NotCounted { policy: policy.to_owned(), counted });
        }
        for (limiter, name, key) in counted {
            // No event: with each login that succeeds there would be one.
            limiter.forget_strikes(name, key).await?;
        }
        Ok(())
    }

    /// Warns, once a policy, if the application found the user only after a
    /// policy that counts by `"user"` had counted the address instead. Adapters
    /// call it with the request once it has its response.
    pub fn check_for_late_user(&self, request: &dyn RequestInfo) {
        if self.0.lacks_user && request.user().is_some() {
            self.0.policies.warn_of_late_user();
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = (&Policy, &Subject)> {
        self.0.policies.policies().iter().zip(&self.0.subjects)
    }

    /// The cost at which that policy has counted the request for that subject
    /// here. A look is no count.
    pub(super) fn counted_at(
        &self,
        limiter: &Limiter,
        policy: &Policy,
        subject: &Subject,
    ) -> Option<u64> {
        (self.0.cost > 0 && self.position(limiter, policy, subject).is_some())
            .then_some(self.0.cost)
    }

    /// The position of that policy for that subject here.
    fn position(&self, limiter: &Limiter, policy: &Policy, subject: &Subject) -> Option<usize> {
        let is_same = self.0.policies.limiter() == limiter;
        is_same.then(|| {
            self.items().position(|(own, counted)| {
                own.has_counters_of(policy) && counted.key == subject.key
            })
        })?
    }

    /// Leaves the fields of what that request counts to its own permit.
    fn supersede(&self, request: &RequestToCount) {
        for (policy, subject) in request.items() {
            for permit in self.chain() {
                let position = permit.position(request.policies.limiter(), policy, subject);
                if let Some(position @ 0..MAX_SUPERSEDED) = position {
                    permit.0.superseded.fetch_or(1 << position, Ordering::Relaxed);
                }
            }
        }
    }

    /// Changes the ledger of the request, in which the charges of this permit and of
    /// those before are entered.
    pub(super) fn with_ledger<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut permits: SmallVec<[&Self; 2]> = self.chain().collect();
        permits.reverse();
        let first = permits.first().copied().unwrap_or(self);
        // The ledger is whole after each change, so a poisoned lock is taken all the same.
        let mut ledger = first.0.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = ledger.get_or_insert_with(Box::default);
        let is_new = |permit: &&Self| {
            permit.0.superseded.fetch_or(ENTERED, Ordering::Relaxed) & ENTERED == 0
        };
        for permit in permits.into_iter().filter(is_new) {
            let limiter = permit.policies().limiter();
            ledger.enter(permit, |policy, subject| {
                let before = permit.chain().skip(1);
                before.filter_map(|p| p.counted_at(limiter, policy, subject)).max().unwrap_or(0)
            });
        }
        change(ledger)
    }

    /// Waits for the turn to settle this request.
    pub(super) async fn take_turn(&self) -> Turn<'_> {
        poll_fn(|context| match self.with_ledger(|ledger| ledger.take_turn(context.waker())) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        Turn(self)
    }

    /// Has the fields show what was settled.
    pub(super) fn show_settled(&self) {
        self.0.superseded.fetch_or(SETTLED, Ordering::Relaxed);
    }

    /// The decision with the usage after the settlement.
    fn settled_decision(&self) -> Decision {
        let mut decision = self.0.decision.clone();
        let limiter = self.policies().limiter();
        self.with_ledger(|ledger| {
            for (at, (policy, subject)) in self.items().enumerate() {
                if let Some(usages) = ledger.usages(limiter, policy, subject) {
                    decision.set_usages(at, usages);
                }
            }
        });
        decision
    }

    /// Forgets refusals of the same check: there is room again.
    pub(super) fn forget_refusals(&self) {
        let policies = &self.0.policies;
        let check = Check::new(policies.policies(), &self.0.subjects, self.0.cost);
        policies.fallback().forget_refusal(&check);
    }

    pub(super) fn cost(&self) -> u64 {
        self.0.cost
    }
}

/// The turn to settle a request, until it is dropped.
pub(super) struct Turn<'a>(&'a Permit);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.with_ledger(Ledger::leave_turn).into_iter().for_each(Waker::wake);
    }
}

//! Outcome: what an admitted request came to, and what it has cost in the end.

use std::iter;

use super::{
    Limiter, Permit, PolicySet, Settling,
    request_ledger::{Due, Ledger},
};
use crate::{error::Error, request::Subjects};

impl Permit {
    /// Records what the request came to for the policies of this permit.
    ///
    /// A policy that does not count a response of that status
    /// ([`with_refund`](crate::Policy::with_refund),
    /// [`with_count_only`](crate::Policy::with_count_only)) gives the units back, and
    /// one whose ban rule names it takes a strike. Whoever the request has been a strike
    /// against already takes none.
    ///
    /// A handler records by hand what its response does not say, such as a wrong password
    /// that is answered with a page. A status that `with_count_only` names then counts the
    /// request, whatever the response's own status is.
    ///
    /// A request that was given up has no status: 499 stands for a
    /// client that hung up, as in nginx's log, and 500 for a handler that
    /// panicked.
    #[inline]
    pub fn record_response(&self, status: u16) -> Settling {
        self.record(iter::once(self), status)
    }

    /// Records what the request came to for the policies of this permit and of those that
    /// it has got before, in one operation of the store.
    pub fn record_final_response(&self, status: u16) -> Settling {
        self.record(self.chain(), status)
    }

    #[inline]
    fn record<'a>(&self, permits: impl Iterator<Item = &'a Self> + Clone, status: u16) -> Settling {
        if permits.clone().any(|permit| permit.policies().settles(status)) {
            self.settle_outcome(permits, status)
        } else {
            Settling::done()
        }
    }

    fn settle_outcome<'a>(&self, permits: impl Iterator<Item = &'a Self>, status: u16) -> Settling {
        self.settle_after(|ledger| {
            for permit in permits {
                for (policy, subject) in permit.items() {
                    ledger.record(permit.policies().limiter(), policy, subject, status);
                }
            }
        })
    }

    /// Brings what each policy of this permit has charged the request to that total: more
    /// than was asked for, or less, down to nothing.
    ///
    /// For what is known only afterwards, such as the tokens of an answer or the bytes of
    /// a body. Idempotent, and any number of times: each sends the difference to what was
    /// charged before. A stream clones the permit and says more as it goes.
    ///
    /// More is charged also beyond the limit, since it is used already: the request is
    /// not refused, the next one waits. Units are given back into the windows that were
    /// charged, and without those that time has paid back; of more than 16 charges of one
    /// request the oldest stand. If the store fails, policies that say
    /// [`local`](crate::OnStoreError::Local) charge in memory; what was to be given back
    /// stays charged.
    pub fn charge_to(&self, units: u64) -> Settling {
        self.settle_after(|ledger| {
            for (policy, subject) in self.items().filter(|(policy, _)| !policy.is_reservation()) {
                ledger.charge_to(self.policies().limiter(), policy, subject, units);
            }
        })
    }

    /// Changes the ledger, and settles what is due then.
    fn settle_after(&self, change: impl FnOnce(&mut Ledger)) -> Settling {
        let is_due = self.with_ledger(|ledger| {
            change(ledger);
            ledger.is_due()
        });
        if !is_due {
            return Settling::done();
        }
        let permit = self.clone();
        let runtime = self.policies().inner().runtime.clone();
        Settling::begin(Box::pin(async move { permit.settle_due().await }), runtime)
    }

    /// Settles until nothing is due: a request that is charged meanwhile is brought to
    /// its latest total.
    async fn settle_due(&self) {
        let _turn = self.take_turn().await;
        loop {
            let mut due = self.with_ledger(Ledger::take_due);
            if due.is_empty() {
                return;
            }
            while let Some(first) = due.first() {
                let limiter = first.limiter.clone();
                let (own, others) = due.into_iter().partition(|due| due.limiter == limiter);
                due = others;
                self.settle_in(&limiter, own).await;
            }
        }
    }

    async fn settle_in(&self, limiter: &Limiter, due: Vec<Due>) {
        let done = limiter.settle(&due).await.done;
        let gives_back = due.iter().any(|due| due.refunded.is_some());
        self.with_ledger(|ledger| {
            due.iter().zip(done).for_each(|(due, done)| ledger.finish(due, done));
        });
        for permit in self.chain() {
            permit.show_settled();
            if gives_back && permit.policies().limiter() == limiter {
                permit.forget_refusals();
            }
        }
    }
}

impl PolicySet {
    /// Charges units that no request stands for, such as those of work in the background.
    /// Nothing refuses them, and they may go beyond the limit: the next request waits.
    ///
    /// The subjects are as in [`check`](Self::check).
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails, and a policy does not say `local`.
    ///
    /// # Panics
    /// If there are not as many subjects as policies.
    pub async fn charge(&self, subjects: &Subjects, units: u64) -> Result<(), Error> {
        let subjects = self.active(subjects.clone());
        assert_eq!(subjects.len(), self.policies().len(), "each policy needs its subject");
        if units == 0 {
            return Ok(());
        }
        let items = self.policies().iter().zip(&subjects);
        let charged = items.filter(|(policy, _)| !policy.is_reservation());
        let charged =
            charged.map(|(policy, subject)| Due::charge(self.limiter(), policy, subject, units));
        let due: Vec<_> = charged.collect();
        match self.limiter().settle(&due).await.lost {
            Some(error) => Err(Error::Unavailable(error)),
            None => Ok(()),
        }
    }
}

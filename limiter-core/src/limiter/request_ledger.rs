//! Ledger of one request: what each policy has charged it, to what total it is to be
//! brought, and which strikes are still to be stored.
//!
//! The first permit of a request keeps it for all. It is made when first needed: most
//! requests are never settled.

mod policy_charges;

use std::task::Waker;

use self::policy_charges::Account;
use self::policy_charges::ChargedQuota;
pub(super) use self::policy_charges::{Charge, ChargePlace};
use super::{Limiter, Permit};
use crate::{
    check::Subject,
    decide::Levels,
    key::Key,
    policy::Policy,
    settlement::{Adjustment, Settlement},
};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    /// The offenders that the request was a strike against.
    struck: Vec<Offender>,
    /// True while a task settles. The others wait.
    is_settling: bool,
    waiting: Vec<Waker>,
}

/// A key that a response strikes.
#[derive(Debug, Eq, PartialEq)]
struct Offender {
    /// The address of the limiter.
    limiter: usize,
    /// The namespace of its bans.
    bans: u64,
    key: Key,
}

/// The adjustment that is due for one account.
#[derive(Debug)]
pub(super) struct Due {
    /// The position of the account.
    account: usize,
    pub(super) limiter: Limiter,
    pub(super) policy: Policy,
    pub(super) subject: Subject,
    pub(super) cost: u64,
    pub(super) settlement: Settlement,
    /// The charge that is given back.
    pub(super) refunded: Option<Charge>,
}

impl Due {
    /// Returns units to be charged that are of no request.
    pub(super) fn charge(
        limiter: &Limiter,
        policy: &Policy,
        subject: &Subject,
        units: u64,
    ) -> Self {
        Self {
            account: 0,
            limiter: limiter.clone(),
            policy: policy.clone(),
            subject: subject.clone(),
            cost: units,
            settlement: Settlement { adjustment: Adjustment::Charge(units), strikes: false },
            refunded: None,
        }
    }
}

/// The result of an adjustment.
#[derive(Debug)]
pub(super) struct Done {
    /// The charge, where units were to be charged.
    pub(super) charge: Option<Charge>,
    /// The usage since, if it is known.
    pub(super) usages: Option<Levels>,
}

impl Ledger {
    /// Enters the charges of a permit. `charged_before` returns the cost at which
    /// limits before have counted the request by that policy.
    pub(super) fn enter(
        &mut self,
        permit: &Permit,
        charged_before: impl Fn(&Policy, &Subject) -> u64,
    ) {
        let decision = permit.decision();
        let place =
            if decision.is_of_fallback() { ChargePlace::Fallback } else { ChargePlace::Store };
        for (at, (policy, subject)) in permit.items().enumerate() {
            let account = self.account(permit.policies().limiter(), policy, subject);
            let cost = policy.cost_of(permit.cost());
            account.cost = account.cost.max(cost);
            let own = || decision.quotas.iter().filter(|status| status.policy() == at);
            // A shadow policy may have refused, and one that admits while the store is
            // away has charged nothing.
            let is_charged =
                cost > 0 && own().next().is_some() && own().all(|status| !status.refuses());
            if is_charged {
                let units = cost.saturating_sub(charged_before(policy, subject));
                let quotas = own().map(|status| ChargedQuota::of(&status.usage)).collect();
                account.add(Charge { units, quotas, place, at: decision.now });
                account.target += units;
            }
        }
    }

    /// Notes what became of a request for one policy: the units are given back if the
    /// policy does not count that status nor has counted one before, and the offender is
    /// struck where its rule names it, once a request.
    pub(super) fn record(
        &mut self,
        limiter: &Limiter,
        policy: &Policy,
        subject: &Subject,
        status: u16,
    ) {
        let strikes = policy.ban().is_some_and(|rule| rule.strikes_on(status));
        let is_strike =
            strikes && subject.is_bannable() && self.is_first_strike(limiter, policy, subject);
        let account = self.account(limiter, policy, subject);
        account.strikes |= is_strike;
        account.counts_for_good |= policy.counts_for_good(status);
        if !policy.counts(status) && !account.counts_for_good {
            account.target = 0;
        }
    }

    /// Sets the total that a policy is to have charged.
    pub(super) fn charge_to(
        &mut self,
        limiter: &Limiter,
        policy: &Policy,
        subject: &Subject,
        units: u64,
    ) {
        self.account(limiter, policy, subject).target = units;
    }

    fn is_first_strike(&mut self, limiter: &Limiter, policy: &Policy, subject: &Subject) -> bool {
        let (limiter, bans) = (limiter.address(), policy.namespaces().bans);
        let offender = Offender { limiter, bans, key: subject.key.clone() };
        let is_first = !self.struck.contains(&offender);
        if is_first {
            self.struck.push(offender);
        }
        is_first
    }

    fn account(&mut self, limiter: &Limiter, policy: &Policy, subject: &Subject) -> &mut Account {
        let known = self.accounts.iter().position(|own| own.is_of(limiter, policy, subject));
        let at = known.unwrap_or_else(|| {
            self.accounts.push(Account::new(limiter, policy, subject));
            self.accounts.len() - 1
        });
        &mut self.accounts[at]
    }

    /// Returns the usage of a policy after the last settlement, if there was one.
    pub(super) fn usages(
        &self,
        limiter: &Limiter,
        policy: &Policy,
        subject: &Subject,
    ) -> Option<&Levels> {
        let account = self.accounts.iter().find(|own| own.is_of(limiter, policy, subject))?;
        account.usages.as_ref()
    }

    /// Returns true if there is anything to settle.
    pub(super) fn is_due(&self) -> bool {
        self.accounts.iter().any(|account| account.strikes || account.total() != account.target)
    }

    /// Takes what is due, of each account one adjustment at most. What is to be given back
    /// is out of the ledger then, so that it is given back once or not at all.
    pub(super) fn take_due(&mut self) -> Vec<Due> {
        let due = self.accounts.iter_mut().enumerate().filter_map(|(at, account)| {
            let refunded = account.take_refund();
            let adjustment = match &refunded {
                Some(refunded) => {
                    Adjustment::Refund { units: refunded.units, marks: refunded.marks() }
                }
                None => match account.target.saturating_sub(account.total()) {
                    0 => Adjustment::None,
                    units => Adjustment::Charge(units),
                },
            };
            let strikes = std::mem::take(&mut account.strikes);
            let is_due = strikes || adjustment != Adjustment::None;
            is_due.then(|| Due {
                account: at,
                limiter: account.limiter.clone(),
                policy: account.policy.clone(),
                subject: account.subject.clone(),
                cost: account.cost,
                settlement: Settlement { adjustment, strikes },
                refunded,
            })
        });
        due.collect()
    }

    /// Enters what was done.
    pub(super) fn finish(&mut self, due: &Due, done: Done) {
        let account = &mut self.accounts[due.account];
        if let Some(charge) = done.charge {
            account.add(charge);
        }
        if done.usages.is_some() {
            account.usages = done.usages;
        }
    }

    /// Takes the turn to settle; false if a task has it, which then wakes this one.
    pub(super) fn take_turn(&mut self, waker: &Waker) -> bool {
        if self.is_settling {
            self.waiting.push(waker.clone());
            return false;
        }
        self.is_settling = true;
        true
    }

    /// Leaves the turn. Returns those who wait for it.
    pub(super) fn leave_turn(&mut self) -> Vec<Waker> {
        self.is_settling = false;
        std::mem::take(&mut self.waiting)
    }
}

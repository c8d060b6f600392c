//! Policies that are derived from a policy, or made beside those of an application:
//! the count of addresses, of preflights, a part of a limit, a probe.

use std::sync::Arc;

#[cfg(feature = "_shared")]
use super::Mode;
use super::{HeaderStyle, Policy, Rule};
#[cfg(feature = "_shared")]
use crate::{ban::BanRule, quota::Quota};
use crate::{error::ConfigError, key::KeySpec, quota::Quotas, response_statuses::CountedStatuses};

/// The end of the name of a policy that counts preflights. The dot keeps it apart
/// from names that a configuration can have.
pub(super) const PREFLIGHTS: &str = ".preflight";

/// The end of the name of a policy that counts reserved strikes.
const RESERVED: &str = ".reserved";

impl Policy {
    /// Where the key has a header, which clients choose at will: how many
    /// times the quota one address may use over all its header values.
    /// Defaults to 10.
    ///
    /// Without that a client would escape by sending a new value with each
    /// request. The address is counted beside the header, in the same
    /// decision, under the name `<policy>.address`.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_per_address(self, per_address: u64) -> Result<Self, ConfigError> {
        if per_address == 0 {
            return Err(ConfigError::at("per_address", "is 0; write 1 or more"));
        }
        Ok(self.with(|rule| rule.per_address = per_address))
    }

    /// A policy under a name that no other can have, to probe stores with: one
    /// request a minute, and the next one bans.
    #[cfg(feature = "_shared")]
    pub(crate) fn probe() -> Self {
        let quota = Quota::per_minute(1).expect("1 a minute is a quota");
        let minute = std::time::Duration::from_secs(60);
        let mut rule = Rule::new("limiter.probe", quota.into());
        rule.ban = Some(
            BanRule::after_strikes(1)
                .within(minute)
                .for_duration(minute)
                .expect("1 strike a minute is a rule"),
        );
        Self(Arc::new(rule.with_namespaces()))
    }

    /// Returns the policy with the quotas of one request. Everything else is the same,
    /// and so are the counters where the windows are.
    pub(crate) fn with_quotas(&self, quotas: &Quotas) -> Self {
        self.clone().with(|rule| rule.quotas = quotas.clone())
    }

    /// Returns true if slices may be taken: a shadow policy may refuse what the check charges.
    #[cfg(feature = "_shared")]
    pub(crate) fn is_leased(&self) -> bool {
        self.0.lease && self.0.mode == Mode::Enforce
    }

    /// Returns the policy by which slices are charged. It knows the bans, and no refusal of
    /// it strikes: no client has sent that request.
    #[cfg(feature = "_shared")]
    pub(crate) fn for_slices(&self) -> Self {
        match self.ban() {
            Some(ban) if ban.strikes_on_refusal() => {
                let ban = ban.clone().with_refusals(false);
                self.clone().with(|rule| rule.ban = Some(ban))
            }
            _ => self.clone(),
        }
    }

    /// Returns a number that tells policies apart as long as they are not dropped.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// The policy with one of `parts` parts of its quotas, but as much as `cost`
    /// where it has so much at all.
    pub(crate) fn divided(&self, parts: u32, cost: u64) -> Self {
        // Limits are no part of the namespaces, so that these stay.
        let mut rule = Rule::clone(&self.0);
        rule.quotas = rule.quotas.divided(parts, cost);
        Self(Arc::new(rule.with_counters()))
    }

    /// The policy that counts the address beside a key that clients choose.
    pub(crate) fn companion(&self) -> Option<Self> {
        self.0.key.is_client_chosen().then(|| {
            let rule = Rule::clone(&self.0);
            let companion = Rule {
                name: format!("{}.address", rule.name),
                quotas: rule.quotas.scaled(rule.per_address),
                key: KeySpec::default(),
                ban: rule.ban.map(|ban| ban.of_companion(rule.per_address)),
                ..rule
            };
            Self(Arc::new(companion.with_namespaces()))
        })
    }

    /// The name under which it is counted and reported: preflights are those of their
    /// policy.
    pub(crate) fn reported_name(&self) -> &str {
        self.0.name.strip_suffix(PREFLIGHTS).unwrap_or(&self.0.name)
    }

    /// All policies that count beside this one: the address beside a header, and the
    /// strikes that requests reserve.
    pub(crate) fn companions(&self) -> Vec<Self> {
        let address = self.companion();
        let policies = [Some(self), address.as_ref()].into_iter().flatten();
        let reservations: Vec<_> = policies.filter_map(Self::reservation).collect();
        address.into_iter().chain(reservations).collect()
    }

    /// The policy that counts the strikes that requests reserve: those of requests whose
    /// response is not there yet, and of those that were a strike.
    fn reservation(&self) -> Option<Self> {
        let ban = self.ban().filter(|ban| ban.reserves())?;
        let name = match ban.group() {
            Some(group) => format!("group.{group}{RESERVED}"),
            None => format!("{}{RESERVED}", self.name()),
        };
        let rule = Rule {
            name,
            quotas: (*ban.strikes()).into(),
            ban: None,
            headers: HeaderStyle::None.into(),
            counted: CountedStatuses::Only(ban.statuses().clone()),
            is_reservation: true,
            ..Rule::clone(&self.0)
        };
        Some(Self(Arc::new(rule.with_namespaces())))
    }

    /// The policy that counts CORS preflights: the same quotas and key, the same
    /// strikes and bans, counters of its own.
    pub(crate) fn for_preflights(&self) -> Self {
        self.clone().with(|rule| rule.name.push_str(PREFLIGHTS))
    }
}

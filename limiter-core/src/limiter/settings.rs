//! The settings of the rules, which a configuration and code may change.

use super::rules::Rules;
use crate::{
    client_ip::ClientIp,
    error::ConfigError,
    exempt_endpoints::Exemptions,
    networks::Networks,
    policy::{Mode, Policy, check_together},
    subject_resolver::SubjectResolver,
};

/// The part of a configuration that the rules are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleSettings {
    pub(crate) mode: Mode,
    pub(crate) policies: Vec<Policy>,
    pub(crate) identity: SubjectResolver,
}

/// Settings in code. They stand over the configuration, each time that one is read.
#[derive(Clone, Debug, Default)]
pub(super) struct CodeSettings {
    pub(super) mode: Option<Mode>,
    pub(super) policies: Vec<Policy>,
    pub(super) client_ip: Option<ClientIp>,
    pub(super) never_ban: Option<Networks>,
    pub(super) allow: Option<Networks>,
    pub(super) block: Option<Networks>,
    pub(super) exempt: Option<Exemptions>,
}

impl CodeSettings {
    /// Returns the settings of a configuration, with those of the code over them.
    pub(super) fn over(&self, mut settings: RuleSettings) -> RuleSettings {
        let code = self.clone();
        settings.mode = code.mode.unwrap_or(settings.mode);
        settings.policies.extend(code.policies);
        let identity = &mut settings.identity;
        replace(&mut identity.client_ip, code.client_ip);
        replace(&mut identity.never_ban, code.never_ban);
        replace(&mut identity.allow, code.allow);
        replace(&mut identity.block, code.block);
        replace(&mut identity.exempt, code.exempt);
        settings
    }
}

fn replace<T>(setting: &mut T, by: Option<T>) {
    if let Some(by) = by {
        *setting = by;
    }
}

impl RuleSettings {
    /// Returns the rules.
    ///
    /// # Errors
    /// If what was set does not fit together.
    pub(super) fn rules(self) -> Result<Rules, ConfigError> {
        check_together(&self.policies)?;
        let mode = self.mode;
        let policies = self.policies.into_iter().map(|policy| at_most(policy, mode));
        Ok(Rules::new(policies.collect(), self.identity.checked()?))
    }
}

/// The policy in the more lenient of its own mode and `mode`.
fn at_most(policy: Policy, mode: Mode) -> Policy {
    let mode = policy.mode().max(mode);
    if mode == policy.mode() { policy } else { policy.with_mode(mode) }
}

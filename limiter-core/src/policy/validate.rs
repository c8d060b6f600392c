//! Checks of all policies together: their names and groups.

use super::{Mode, Policy};
use crate::{ban::BanRule, error::ConfigError};

/// Checks what only shows with all policies side by side: names and groups.
pub(crate) fn check_together(policies: &[Policy]) -> Result<(), ConfigError> {
    for (index, policy) in policies.iter().enumerate() {
        let within = |error: ConfigError| error.within(policy.name()).within("policies");
        if policies[..index].iter().any(|other| other.name() == policy.name()) {
            return Err(within(ConfigError::new("the name is given twice; rename one")));
        }
        let alike =
            |other: &Policy| other.name().replace('-', "_") == policy.name().replace('-', "_");
        if let Some(other) = policies[..index].iter().find(|other| alike(other)) {
            return Err(within(ConfigError::new(format!(
                "the name differs from {:?} in \"-\" and \"_\" only, which variables of the \
                 environment cannot tell apart; rename one",
                other.name()
            ))));
        }
        if policy.ban().is_some_and(|ban| !ban.can_strike()) {
            return Err(within(ConfigError::at(
                "ban",
                "nothing strikes: refusals is false and statuses is empty; change one",
            )));
        }
        check_reserve(policy).map_err(within)?;
        let Some(group) = policy.ban().and_then(BanRule::group) else {
            continue;
        };
        for other in policies {
            check_group(group, policy, other)
                .map_err(|e| within(e.within("group").within("ban")))?;
        }
    }
    Ok(())
}

fn check_reserve(policy: &Policy) -> Result<(), ConfigError> {
    let Some(ban) = policy.ban().filter(|ban| ban.reserves()) else { return Ok(()) };
    if ban.statuses().is_empty() {
        let message = "goes with statuses, whose strikes are reserved; write some, or leave \
                       reserve out";
        return Err(ConfigError::at("reserve", message).within("ban"));
    }
    if policy.has_lease() {
        let message = "does not go with reserve in ban, which charges the store for each \
                       request; leave one of both out";
        return Err(ConfigError::at("lease", message));
    }
    Ok(())
}

fn check_group(group: &str, policy: &Policy, other: &Policy) -> Result<(), ConfigError> {
    let (Some(ban), theirs) = (policy.ban(), other.ban()) else {
        return Ok(());
    };
    if [policy.mode(), other.mode()].contains(&Mode::Off) {
        return Ok(());
    }
    let name = other.name();
    match theirs.filter(|ban| ban.group() == Some(group)) {
        None if name == group => Err(ConfigError::new(format!(
            "{group:?} is the name of a policy outside the group; \
             rename the group, or write group = {group:?} in that policy's ban"
        ))),
        None => Ok(()),
        Some(_) if other.key() != policy.key() => Err(ConfigError::new(format!(
            "{group:?} is shared with policy {name:?}, which counts \"{}\" and not \"{}\"; \
             a group needs one kind of key",
            other.key(),
            policy.key()
        ))),
        Some(_) if other.mode() != policy.mode() => Err(ConfigError::new(format!(
            "{group:?} is shared with policy {name:?}; a group is enforced or shadow as a whole"
        ))),
        Some(theirs) if !theirs.agrees_with(ban) => Err(ConfigError::new(format!(
            "{group:?} is shared with policy {name:?}, whose threshold, window, duration, factor, \
             max_duration, forgive_after or reserve differ, or the statuses that reserve; write \
             the same in both"
        ))),
        Some(_) => Ok(()),
    }
}

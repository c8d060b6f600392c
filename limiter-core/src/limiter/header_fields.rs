//! The header fields of a policy set's decisions.

use super::PolicySet;
use crate::{
    decision::{Decision, QuotaStatus},
    response::Fields,
};

impl PolicySet {
    /// The header fields that show the client a decision, as each policy's
    /// style says. Names are in lower case.
    #[must_use]
    pub fn fields(&self, decision: &Decision) -> Fields<'_> {
        self.texts().fields(decision, 0)
    }

    /// The value of the `ratelimit-policy` field, which is the same in all
    /// responses that have it.
    #[must_use]
    pub fn policy_field(&self) -> Option<&str> {
        self.texts().policy_field()
    }

    /// The name under which a quota is sent to clients: the policy's, with the
    /// window behind it where the policy has several quotas (`api.1h`).
    #[must_use]
    pub fn quota_name(&self, status: &QuotaStatus) -> &str {
        self.texts().quota_name(status)
    }
}

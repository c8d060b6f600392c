//! A decision as data: for an API that shows clients what is left, or for a log.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Decision, QuotaStatus};
use crate::{algorithm::Wait, time::micros};

/// Writes `verdict`, `decided_at`, `retry_after_micros` (null if there is nothing to
/// wait for, or for ever), `banned_until` and `quotas`. Shadow quotas are left out.
///
/// ```
/// use limiter_core::{Key, Limiter, Policy};
///
/// # futures_executor::block_on(async {
/// let limiter = Limiter::builder().policy(Policy::new("api", "10/minute")?).build().await?;
/// let api = limiter.policy("api")?;
/// let decision = api.check(&api.subjects_of(&Key::user("alice")), 1).await?;
/// let json = serde_json::to_value(&decision)?;
/// assert_eq!(json["verdict"], "allowed");
/// assert_eq!(json["quotas"][0]["quota"], "10/1m");
/// assert_eq!(json["quotas"][0]["remaining"], 9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown: Vec<&QuotaStatus> =
            self.quotas.iter().filter(|quota| !quota.is_shadow()).collect();
        let mut fields = serializer.serialize_struct("Decision", 5)?;
        fields.serialize_field("verdict", &self.verdict())?;
        fields.serialize_field("decided_at", &self.now)?;
        fields.serialize_field("retry_after_micros", &wait_micros(self.wait()))?;
        fields.serialize_field("banned_until", &self.banned_until())?;
        fields.serialize_field("quotas", &shown)?;
        fields.end()
    }
}

/// Writes `policy` (its position among those checked), `quota` as text, `remaining`,
/// `reset_after_micros` and `retry_after_micros`.
impl Serialize for QuotaStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("QuotaStatus", 5)?;
        fields.serialize_field("policy", &self.policy())?;
        fields.serialize_field("quota", self.quota())?;
        fields.serialize_field("remaining", &self.remaining())?;
        fields.serialize_field("reset_after_micros", &micros(self.reset_after()))?;
        fields.serialize_field("retry_after_micros", &wait_micros(self.wait()))?;
        fields.end()
    }
}

const fn wait_micros(wait: Wait) -> Option<u64> {
    match wait {
        Wait::Micros(micros) => Some(micros),
        Wait::None | Wait::Never => None,
    }
}

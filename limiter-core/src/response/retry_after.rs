//! The `Retry-After` field of a refusal (RFC 9110, section 10.2.3).

use std::time::Duration;

use super::structured_fields::seconds;
use crate::time::micros;

/// The name of the field.
pub(super) const RETRY_AFTER: &str = "retry-after";

/// Returns the seconds of the field: rounded up, so that nobody comes too early, and at
/// least 1.
pub(super) fn retry_seconds(wait: Duration) -> u64 {
    seconds(micros(wait)).max(1)
}

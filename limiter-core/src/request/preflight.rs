//! The test for CORS preflights.

use super::RequestInfo;

/// Returns true for a CORS preflight, by the Fetch standard (section 3.2.2).
/// Browsers send it by themselves, so it counts apart. Its headers are the
/// client's word, so it does not pass for nothing.
#[inline]
pub(crate) fn is_preflight(request: &dyn RequestInfo) -> bool {
    let has = |name| !request.header_lines(name).is_empty();
    request.method() == "OPTIONS" && has("origin") && has("access-control-request-method")
}

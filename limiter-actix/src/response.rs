//! The core's answers in actix-web's terms.

use std::borrow::Cow;

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
};
use limiter_core::{Fields, Refusal};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The response to a refused request as limiter makes it: status, header
/// fields, and a problem document.
#[must_use]
pub fn refusal_response(refusal: &Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let mut response = HttpResponse::new(status).set_body(refusal.body().to_owned());
    add_fields(response.headers_mut(), refusal.fields().clone(), None);
    response.map_into_boxed_body()
}

/// Adds fields to a response. Lists go on in a line more, as RFC 9651
/// (section 3.1) allows, so that nested limiters tell both; of the others the
/// first one there stays, which is the inner limiter's or the handler's own.
///
/// `policy_field` is a value that was made before, to be taken where it is the
/// same.
pub(crate) fn add_fields(
    headers: &mut HeaderMap,
    fields: Fields<'_>,
    policy_field: Option<&HeaderValue>,
) {
    for (name, value) in fields {
        let resolved =
            policy_field.filter(|resolved| name == "ratelimit-policy" && **resolved == *value);
        let Some(value) = resolved.cloned().or_else(|| header_value(value)) else {
            continue;
        };
        match name {
            "ratelimit-policy" => headers.append(RATELIMIT_POLICY, value),
            "ratelimit" => headers.append(RATELIMIT, value),
            other if headers.contains_key(other) => {}
            other => drop(headers.insert(HeaderName::from_static(other), value)),
        }
    }
}

/// Without a copy where it was made for this response.
fn header_value(value: Cow<'_, str>) -> Option<HeaderValue> {
    match value {
        Cow::Borrowed(value) => HeaderValue::from_str(value).ok(),
        Cow::Owned(value) => HeaderValue::try_from(value).ok(),
    }
}

//! The core's answers in actix-web's terms.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
};
use limiter_core::{Fields, Refusal};

/// The response to a refused request as limiter makes it: status, header
/// fields, and a problem document.
#[must_use]
pub fn refusal_response(refusal: &Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let mut response = HttpResponse::new(status).set_body(refusal.body().to_owned());
    add_fields(response.headers_mut(), refusal.fields().clone());
    response.map_into_boxed_body()
}

/// Adds fields to a response. Lists go on in a line more, as RFC 9651
/// (section 3.1) allows, so that nested limiters tell both; of the others the
/// first one there stays, which is the inner limiter's or the handler's own.
pub(crate) fn add_fields(headers: &mut HeaderMap, fields: Fields) {
    for (name, value) in fields {
        // Without a copy.
        let Ok(value) = HeaderValue::from_maybe_shared(value.into_bytes()) else {
            continue;
        };
        let name = header_name(name);
        if matches!(name.as_str(), "ratelimit" | "ratelimit-policy") {
            headers.append(name, value);
        } else if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
}

/// The two that nearly every response has are made once.
fn header_name(name: &'static str) -> HeaderName {
    static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
    static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
    match name {
        "ratelimit" => RATELIMIT.clone(),
        "ratelimit-policy" => RATELIMIT_POLICY.clone(),
        other => HeaderName::from_static(other),
    }
}

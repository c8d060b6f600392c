//! The core's answers as actix-web's responses.

use std::{borrow::Cow, fmt};

use actix_web::{
    HttpRequest, HttpResponse, Responder, ResponseError,
    body::BoxBody,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use limiter_core::{Fields, Refusal};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Marks a limiter's own response, which is no outcome that an outer limiter
/// should count.
pub(crate) struct RefusedByLimiter;

/// A refusal as a response and as an error: what a handler returns that limits by
/// hand, with [`admit`](crate::admit).
#[derive(Clone, Debug)]
pub struct Refused(pub Refusal);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused by a rate limit ({})", self.0.status())
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        status(&self.0)
    }

    fn error_response(&self) -> HttpResponse {
        refusal_response(&self.0)
    }
}

impl Responder for Refused {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        refusal_response(&self.0)
    }
}

/// The response to a refused request as limiter makes it: status, header
/// fields, and a problem document.
#[must_use]
pub fn refusal_response(refusal: &Refusal) -> HttpResponse {
    let mut response = refusal_response_with(refusal, None);
    response.extensions_mut().insert(RefusedByLimiter);
    response
}

/// The same without the mark, and with the value of `ratelimit-policy` where that was
/// made before.
pub(crate) fn refusal_response_with(
    refusal: &Refusal,
    policy_field: Option<&HeaderValue>,
) -> HttpResponse {
    let mut response = HttpResponse::with_body(status(refusal), BoxBody::new(refusal.body()));
    let mut fields = ResponseFields::of(response.headers_mut(), policy_field);
    refusal.write_fields(&mut |name, value| fields.add(name, value));
    response
}

fn status(refusal: &Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::TOO_MANY_REQUESTS)
}

/// Adds the fields of a refusal that the application's own response leaves out.
/// Its type and caching are the application's.
pub(crate) fn add_missing_fields(headers: &mut HeaderMap, refusal: &Refusal) {
    refusal.write_fields(&mut |name, value| {
        if name != "content-type" && !headers.contains_key(name) {
            ResponseFields::of(headers, None).add(name, value);
        }
    });
}

/// Header fields of a response, to which a limit adds its own.
pub(crate) struct ResponseFields<'a> {
    headers: &'a mut HeaderMap,
    /// The value of `ratelimit-policy` that was made once.
    policy_field: Option<&'a HeaderValue>,
    /// True if there were none before, so that nothing is looked for.
    is_new: bool,
}

impl<'a> ResponseFields<'a> {
    pub(crate) fn of(headers: &'a mut HeaderMap, policy_field: Option<&'a HeaderValue>) -> Self {
        let is_new = headers.is_empty();
        Self { headers, policy_field, is_new }
    }

    /// Adds a field. A list goes on in another line; of the others the first one there
    /// stays, which is the inner limiter's or the handler's own.
    pub(crate) fn add(&mut self, name: &'static str, value: Cow<'_, str>) {
        if self.has_own(name, &value) {
            return;
        }
        if let Some(value) = header_value(value, self.policy_field) {
            self.headers.append(field_name(name), value);
        }
    }

    /// Returns true if the response has a field of that name, of which it has one.
    fn has_own(&self, name: &'static str, value: &str) -> bool {
        !self.is_new && !Fields::is_list(name, value) && self.headers.contains_key(field_name(name))
    }
}

fn field_name(name: &'static str) -> HeaderName {
    match name {
        "ratelimit" => RATELIMIT,
        "ratelimit-policy" => RATELIMIT_POLICY,
        "retry-after" => header::RETRY_AFTER,
        "content-type" => header::CONTENT_TYPE,
        "cache-control" => header::CACHE_CONTROL,
        other => HeaderName::from_static(other),
    }
}

/// Without a copy where the value is known, or was made for this response or `before`.
fn header_value(value: Cow<'_, str>, before: Option<&HeaderValue>) -> Option<HeaderValue> {
    match value {
        Cow::Borrowed(value) if before.is_some_and(|before| *before == *value) => before.cloned(),
        Cow::Borrowed("application/problem+json") => Some(PROBLEM),
        Cow::Borrowed("no-store") => Some(NO_STORE),
        Cow::Borrowed(value) => HeaderValue::from_str(value).ok(),
        Cow::Owned(value) => HeaderValue::try_from(value).ok(),
    }
}

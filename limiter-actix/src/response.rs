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
    add_fields(response.headers_mut(), refusal.fields(), policy_field);
    response
}

fn status(refusal: &Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::TOO_MANY_REQUESTS)
}

/// Adds the fields of a refusal that the application's own response leaves out.
/// Its type and caching are the application's.
pub(crate) fn add_missing_fields(headers: &mut HeaderMap, refusal: &Refusal) {
    let mut fields = refusal.fields();
    fields.retain(|name, _| name != "content-type" && !headers.contains_key(name));
    add_fields(headers, fields, None);
}

/// Adds fields to a response. Lists go on in another line, as RFC 9651 (section
/// 3.1) allows, so that nested limiters show both; of the others the first one
/// there stays, which is the inner limiter's or the handler's own.
///
/// `policy_field` is taken where its value is the same: it was made once.
pub(crate) fn add_fields(
    headers: &mut HeaderMap,
    fields: Fields<'_>,
    policy_field: Option<&HeaderValue>,
) {
    for (name, value) in fields {
        match name {
            "ratelimit-policy" => {
                let made = policy_field.filter(|made| **made == *value).cloned();
                if let Some(value) = made.or_else(|| header_value(value)) {
                    headers.append(RATELIMIT_POLICY, value);
                }
            }
            "ratelimit" if is_list(&value) => {
                if let Some(value) = header_value(value) {
                    headers.append(RATELIMIT, value);
                }
            }
            _ => {
                let name = field_name(name);
                if !headers.contains_key(&name)
                    && let Some(value) = header_value(value)
                {
                    headers.insert(name, value);
                }
            }
        }
    }
}

/// Returns true if a value of `ratelimit` is a list. Up to draft -07 it is a dictionary,
/// of which a response has one.
fn is_list(value: &str) -> bool {
    value.starts_with('"')
}

fn field_name(name: &'static str) -> HeaderName {
    match name {
        "retry-after" => header::RETRY_AFTER,
        "content-type" => header::CONTENT_TYPE,
        "cache-control" => header::CACHE_CONTROL,
        other => HeaderName::from_static(other),
    }
}

/// Without a copy where the value is known, or was made for this response.
fn header_value(value: Cow<'_, str>) -> Option<HeaderValue> {
    match value {
        Cow::Borrowed("application/problem+json") => Some(PROBLEM),
        Cow::Borrowed("no-store") => Some(NO_STORE),
        Cow::Borrowed(value) => HeaderValue::from_str(value).ok(),
        Cow::Owned(value) => HeaderValue::try_from(value).ok(),
    }
}

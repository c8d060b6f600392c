//! The response to a request that does not pass: status, fields and body.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde::Serialize;

use crate::{
    algorithm::Wait,
    ban::BanAnswer,
    decision::{Decision, Verdict},
    error::Error,
    limiter::PolicySet,
    response::headers::{Fields, seconds},
    time::{Clock, SystemClock, micros},
};

/// Where IANA registers the problem types of
/// draft-ietf-httpapi-ratelimit-headers-11, section 10.2.
const PROBLEM_TYPES: &str = "https://iana.org/assignments/http-problem-types#";

/// A response in neutral terms, which adapters turn into their framework's.
///
/// The body is an RFC 9457 problem document, and no cache may keep it. Cheap to
/// clone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal(Arc<Response>);

#[derive(Debug, Eq, PartialEq)]
struct Response {
    status: u16,
    fields: Fields<'static>,
    body: String,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<&'a str>,
}

impl Refusal {
    /// The HTTP status: 403, 429, 503, or 400 and 500 where a request could
    /// not be counted.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// All header fields, `content-type` and `cache-control` included.
    #[must_use]
    pub fn fields(&self) -> &Fields<'static> {
        &self.0.fields
    }

    /// The body: `application/problem+json`.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.0.body
    }

    pub(crate) fn of(decision: &Decision, policies: &PolicySet) -> Option<Self> {
        let (kind, title, status, violated) = match (decision.verdict, decision.ban()) {
            (Verdict::Allowed, _) => return None,
            (Verdict::Banned, Some(ban)) => {
                let answer =
                    policies.ban_rule(ban.policy).map(|rule| rule.answer()).unwrap_or_default();
                let status = match answer {
                    BanAnswer::Forbidden => 403,
                    BanAnswer::TooManyRequests => 429,
                };
                let violated = vec![policies.policies()[ban.policy].name()];
                ("abnormal-usage-detected", "Abnormal usage detected", status, violated)
            }
            (Verdict::Banned | Verdict::Limited, _) => {
                let refusing = decision.quotas.iter().filter(|s| !s.shadow && s.refuses());
                let violated = refusing.map(|status| policies.quota_name(status)).collect();
                ("quota-exceeded", "Quota exceeded", 429, violated)
            }
        };
        let told = policies.fields(decision).into_iter();
        let mut fields: Fields<'static> =
            told.map(|(name, value)| (name, value.into_owned().into())).collect();
        let detail = match decision.wait() {
            Wait::Micros(micros) => {
                let after = seconds(micros).max(1);
                fields.push(("retry-after", after.to_string().into()));
                Some(format!("Try again in {after} s."))
            }
            Wait::None | Wait::Never => None,
        };
        Some(Self::new(
            fields,
            &Problem {
                r#type: format!("{PROBLEM_TYPES}{kind}"),
                title,
                status,
                detail,
                violated_policies: violated,
            },
        ))
    }

    /// The response where a request could not be decided. It tells nothing of
    /// the cause: that goes to the log, once a second at most.
    #[must_use]
    pub fn of_error(error: &Error) -> Self {
        // The circuit breaker logs outages; blocked clients are not logged.
        if !matches!(error, Error::Unavailable(_) | Error::Blocked) && once_a_second() {
            tracing::error!(%error, "a request could not be counted");
        }
        let mut fields = Fields::new();
        let (r#type, title, status) = match error {
            Error::Unavailable(_) | Error::Overloaded { .. } => {
                let wait = match error {
                    Error::Overloaded { retry_after, .. } => seconds(micros(*retry_after)).max(1),
                    _ => 1,
                };
                fields.push(("retry-after", wait.to_string().into()));
                let kind = format!("{PROBLEM_TYPES}temporary-reduced-capacity");
                (kind, "Temporarily reduced capacity", 503)
            }
            Error::Blocked => ("about:blank".to_owned(), "Forbidden", 403),
            Error::Forwarding { .. } => ("about:blank".to_owned(), "Bad Request", 400),
            _ => return Self::internal_error(),
        };
        let violated_policies = Vec::new();
        Self::new(fields, &Problem { r#type, title, status, detail: None, violated_policies })
    }

    /// The response of an application that was put together wrong: 500.
    #[must_use]
    pub fn internal_error() -> Self {
        Self::new(
            Fields::new(),
            &Problem {
                r#type: "about:blank".to_owned(),
                title: "Internal Server Error",
                status: 500,
                detail: None,
                violated_policies: Vec::new(),
            },
        )
    }

    fn new(mut fields: Fields<'static>, problem: &Problem<'_>) -> Self {
        fields.push(("content-type", "application/problem+json".into()));
        fields.push(("cache-control", "no-store".into()));
        let body = serde_json::to_string(problem).expect("text and numbers are always JSON");
        Self(Arc::new(Response { status: problem.status, fields, body }))
    }
}

/// Whether nothing was said in this second yet: a client that makes a proxy send
/// nonsense does not fill the disk.
fn once_a_second() -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemClock.now().as_micros() / 1_000_000;
    LAST.swap(now, Ordering::Relaxed) != now
}

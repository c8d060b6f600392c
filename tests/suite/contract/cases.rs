//! The cases of the contract.

mod bans;
mod failures;
mod headers;
mod identity;
mod limits;
mod lists;
mod modes;
mod plans;
mod preflights;
mod proxies;
mod settlement;
mod spellings;

use std::time::Duration;

use serde_json::json;

use super::{Case, Expect, Request, Step, generated};

const TYPES: &str = "https://iana.org/assignments/http-problem-types#";

/// All cases, in no particular order.
pub(crate) fn cases() -> Vec<Case> {
    [
        headers::cases(),
        limits::cases(),
        identity::cases(),
        lists::cases(),
        proxies::cases(),
        spellings::cases(),
        modes::cases(),
        plans::cases(),
        bans::cases(),
        preflights::cases(),
        settlement::cases(),
        failures::cases(),
        vec![generated_requests()],
    ]
    .concat()
}

/// The cases of settlement and plans that any store can run, for the stores that servers
/// share.
pub(crate) fn shared_cases() -> Vec<Case> {
    let cases = settlement::cases().into_iter().chain(plans::cases());
    cases.filter(Case::stands_still).collect()
}

fn generated_requests() -> Case {
    Case {
        name: "generated requests",
        config: generated::CONFIG,
        steps: vec![Step::Generated],
        ..Case::default()
    }
}

fn request(method: &'static str, path: &str) -> Request {
    Request {
        method,
        path: path.to_owned(),
        headers: Vec::new(),
        body: "",
        peer: Some([192, 0, 2, 1].into()),
    }
}

fn get(path: &str) -> Request {
    request("GET", path)
}

fn login(body: &'static str) -> Request {
    Request { body, ..request("POST", "/login") }
}

impl Request {
    fn from(mut self, peer: &str) -> Self {
        self.peer = Some(peer.parse().expect("the case's address is one"));
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn is(self, expect: Expect) -> Step {
        self.times(1, expect)
    }

    fn times(self, times: u32, expect: Expect) -> Step {
        Step::Send { request: self, times, expect }
    }
}

fn status(status: u16) -> Expect {
    Expect { status, ..Expect::default() }
}

impl Expect {
    fn with(mut self, name: &'static str, value: impl Into<Text>) -> Self {
        self.headers.push((name, value.into().0));
        self
    }

    fn without(mut self, names: &[&'static str]) -> Self {
        self.absent.extend(names);
        self
    }

    fn body(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }

    fn text(mut self, text: &'static str) -> Self {
        self.text = Some(text);
        self
    }
}

/// Every field of a refusal by one policy.
fn limited(policy: &str, retry_after: u64) -> Expect {
    status(429)
        .with("retry-after", retry_after)
        .with("content-type", "application/problem+json")
        .with("cache-control", "no-store")
        .body(json!({
            "type": format!("{TYPES}quota-exceeded"),
            "title": "Quota exceeded",
            "status": 429,
            "detail": format!("Try again in {retry_after} s."),
            "violated-policies": [policy],
        }))
}

fn banned(code: u16, policy: &str, retry_after: u64) -> Expect {
    status(code)
        .with("retry-after", retry_after)
        .with("content-type", "application/problem+json")
        .with("cache-control", "no-store")
        .body(json!({
            "type": format!("{TYPES}abnormal-usage-detected"),
            "title": "Abnormal usage detected",
            "status": code,
            "detail": format!("Try again in {retry_after} s."),
            "violated-policies": [policy],
        }))
}

const FIELDS: [&str; 2] = ["ratelimit", "ratelimit-policy"];

/// A header's value, as text or as a number.
struct Text(String);

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<u64> for Text {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

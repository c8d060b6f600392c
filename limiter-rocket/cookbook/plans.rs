//! API plans: one policy, whose quotas follow from the client's plan.

use std::sync::LazyLock;

use limiter_rocket::{Policies, Quotas, RateLimited, set_user};
use rocket::{
    Request, get,
    http::Status,
    request::{FromRequest, Outcome},
};

/// The configuration: the free plan.
pub const CONFIG: &str = r#"
[default.limiter.policies.api]
quota = "1/hour"
key = "user"
"#;

/// The plan of those who pay, parsed once.
static PAYING: LazyLock<Quotas> = LazyLock::new(|| "3/hour".parse().expect("it is a quota"));

/// An account, found by its token.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    name: &'static str,
    pays: bool,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Account {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let account = match request.headers().get_one("authorization") {
            Some("Bearer token-of-alice") => Self { name: "alice", pays: true },
            Some("Bearer token-of-bob") => Self { name: "bob", pays: false },
            _ => return Outcome::Error((Status::Unauthorized, ())),
        };
        set_user(request, account.name);
        request.local_cache(|| Some(account));
        Outcome::Success(account)
    }
}

/// The policy of a guard, with the quotas of each request.
#[derive(Debug)]
pub struct Plan;

impl Policies for Plan {
    const NAMES: &'static [&'static str] = &["api"];

    fn quotas(request: &Request<'_>, _policy: &str) -> Option<Quotas> {
        let account: &Option<Account> = request.local_cache(|| None);
        account.is_some_and(|account| account.pays).then(|| PAYING.clone())
    }
}

/// A handler. The account stands before the limit: guards run in this order.
#[get("/report")]
pub fn report(account: Account, limit: RateLimited<Plan>) -> String {
    let left = limit.tightest().map_or(0, |quota| quota.remaining());
    format!("{}: {left} left", account.name)
}

#[cfg(test)]
mod tests {
    use rocket::{http::Header, routes};

    use super::*;
    use crate::test_helpers::client;

    #[test]
    fn each_plan_has_its_limit() {
        let client = client(CONFIG, routes![report]);
        let ask = |name: &str| {
            let header = Header::new("authorization", format!("Bearer token-of-{name}"));
            let response = client.get("/report").header(header).dispatch();
            (response.status().code, response.into_string().unwrap_or_default())
        };
        assert_eq!(ask("alice"), (200, "alice: 2 left".to_owned()));
        assert_eq!(ask("bob"), (200, "bob: 0 left".to_owned()));
        assert_eq!(ask("bob").0, 429);
        assert_eq!([ask("alice").0, ask("alice").0, ask("alice").0], [200, 200, 429]);
        assert_eq!(ask("mallory").0, 401);
    }
}

//! A key from the body: the account of a login, so that many addresses of one
//! attacker count together. A data guard reads the body and admits the request.

use limiter_rocket::{AdmitOptions, Key, Limiter, RateLimited, Refused, admit};
use rocket::{
    Data, Request, State,
    data::{FromData, Outcome, ToByteUnit},
    http::Status,
    post,
};

/// The configuration: by account, and by address for who changes the account with
/// each request.
pub const CONFIG: &str = r#"
[default.limiter.policies.reset]
quota = "1/hour"

[default.limiter.policies.default]
quota = "4/hour"
"#;

/// An account that may be mailed to: its limit is not reached.
#[derive(Debug)]
pub struct Account(String);

/// Why there is no account.
#[derive(Debug)]
pub enum NoAccount {
    /// The body is no text of at most 256 bytes.
    Body,
    /// Its limit is reached.
    Refused(Refused),
}

#[rocket::async_trait]
impl<'r> FromData<'r> for Account {
    type Error = NoAccount;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        let email = match data.open(256.bytes()).into_string().await {
            Ok(body) if body.is_complete() => body.trim().to_lowercase(),
            _ => return Outcome::Error((Status::BadRequest, NoAccount::Body)),
        };
        let limiter = request.guard::<&State<Limiter>>().await.expect("the fairing manages it");
        let policy = limiter.policy("reset").expect("it is configured");
        let options = AdmitOptions::default().with_key(Some(Key::custom("email", &email)));
        match admit(request, &policy, options).await {
            Ok(_) => Outcome::Success(Self(email)),
            Err(refused) => Outcome::Error((refused.status(), NoAccount::Refused(refused))),
        }
    }
}

/// The handler, behind the limit by address.
#[post("/reset", data = "<account>")]
pub fn reset(_limit: RateLimited, account: Account) -> String {
    format!("If there is an account {}, it has got a mail.", account.0)
}

#[cfg(test)]
mod tests {
    use rocket::routes;

    use super::*;
    use crate::test_helpers::client;

    #[test]
    fn an_account_has_its_limit_and_an_address_too() {
        let client = client(CONFIG, routes![reset]);
        let mut statuses = Vec::new();
        for email in
            ["a@example.org", " A@example.org", "b@example.org", "c@example.org", "d@example.org"]
        {
            statuses.push(client.post("/reset").body(email).dispatch().status().code);
        }
        assert_eq!(statuses, [200, 429, 200, 200, 429]);
    }
}

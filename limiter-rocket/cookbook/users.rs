//! Limits by user: a guard verifies the token, and the policy counts the user that
//! it names (`key = "user"`). The guard stands before the limit.

use limiter_rocket::{RateLimited, set_user};
use rocket::{
    Request, get,
    http::Status,
    request::{FromRequest, Outcome},
};

/// The configuration.
pub const CONFIG: &str = "[default.limiter.policies.default]\nquota = \"1/hour\"\nkey = \"user\"\n";

/// A user whose token was verified.
#[derive(Debug)]
pub struct Verified(&'static str);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Verified {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        // Stands for the check of a signature, or a look at the sessions.
        let user = match request.headers().get_one("authorization") {
            Some("Bearer token-of-alice") => "alice",
            Some("Bearer token-of-bob") => "bob",
            _ => return Outcome::Error((Status::Unauthorized, ())),
        };
        set_user(request, user);
        Outcome::Success(Self(user))
    }
}

/// A handler.
#[get("/")]
pub fn index(user: Verified, _limit: RateLimited) -> String {
    format!("hello {}", user.0)
}

#[cfg(test)]
mod tests {
    use rocket::{http::Header, routes};

    use super::*;
    use crate::test_helpers::client;

    #[test]
    fn users_are_counted_apart() {
        let client = client(CONFIG, routes![index]);
        let mut statuses = Vec::new();
        for user in ["alice", "bob", "alice", "mallory"] {
            let header = Header::new("authorization", format!("Bearer token-of-{user}"));
            statuses.push(client.get("/").header(header).dispatch().status().code);
        }
        assert_eq!(statuses, [200, 200, 429, 401]);
    }
}

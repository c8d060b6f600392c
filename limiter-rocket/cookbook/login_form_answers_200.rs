//! Strikes by hand: a login form that answers 200 with an error in the page. No status
//! says that the password was wrong, so the handler does.

use limiter_rocket::{RateLimited, policy};
use rocket::{post, response::Redirect};

/// Twenty tries a minute; five wrong passwords within ten minutes ban the address for ten.
pub const CONFIG: &str = r#"
[default.limiter.policies.login-form]
quota = "20/minute"
ban = { threshold = 5, window = "10m", duration = "10m", statuses = [401] }
"#;

policy!(pub LoginForm = "login-form");

/// The status that stands for a wrong password in the ban rule.
const WRONG_PASSWORD: u16 = 401;

/// The handler.
#[post("/login-form", data = "<password>")]
pub async fn login_form(
    limit: RateLimited<LoginForm>,
    password: String,
) -> Result<Redirect, &'static str> {
    if password == "correct horse" {
        return Ok(Redirect::to("/"));
    }
    // A request is one strike at most, whatever its response is recorded as later.
    if let Some(permit) = limit.permit() {
        permit.record_response(WRONG_PASSWORD).await;
    }
    Err("<p class=error>That was not the password.</p>")
}

#[cfg(test)]
mod tests {
    use rocket::routes;

    use super::*;
    use crate::test_helpers::client;

    #[test]
    fn errors_in_the_page_ban() {
        let client = client(CONFIG, routes![login_form]);
        let mut statuses = Vec::new();
        for password in ["a", "correct horse", "b", "c", "d", "e", "correct horse"] {
            statuses.push(client.post("/login-form").body(password).dispatch().status().code);
        }
        assert_eq!(statuses, [200, 303, 200, 200, 200, 200, 403]);
    }
}

//! Login protection: wrong passwords ban, and a login that succeeds forgives.

use limiter_rocket::{RateLimited, policy};
use rocket::{http::Status, post};

/// Twenty tries a minute; five wrong passwords within ten minutes ban the address
/// for ten, then for twenty, and so on up to a day.
pub const CONFIG: &str = r#"
[default.limiter.policies.login]
quota = "20/minute"
ban = { threshold = 5, window = "10m", duration = "10m", factor = 2, refusals = false, statuses = [401] }
"#;

policy!(pub Login = "login");

/// The handler.
#[post("/login", data = "<password>")]
pub async fn login(limit: RateLimited<Login>, password: String) -> (Status, &'static str) {
    if password != "correct horse" {
        return (Status::Unauthorized, "wrong password");
    }
    // Who knows the password is no attacker: the failures before are forgotten. A
    // store that is away only means that they are not.
    if let Some(permit) = limit.permit()
        && permit.forgive("login").await.is_err()
    {
        return (Status::Ok, "welcome, though your failures still count");
    }
    (Status::Ok, "welcome")
}

#[cfg(test)]
mod tests {
    use rocket::routes;

    use super::*;
    use crate::testing::client;

    #[test]
    fn five_wrong_passwords_ban_unless_one_is_right_between() {
        let client = client(CONFIG, routes![login]);
        let mut statuses = Vec::new();
        for password in
            ["a", "b", "c", "d", "correct horse", "a", "b", "c", "d", "e", "correct horse"]
        {
            statuses.push(client.post("/login").body(password).dispatch().status().code);
        }
        assert_eq!(statuses, [401, 401, 401, 401, 200, 401, 401, 401, 401, 401, 403]);
    }
}

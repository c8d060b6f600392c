//! Login protection: only wrong passwords count, as many at once as in a row; those who go
//! on are banned, and a login that succeeds forgives.

use limiter_rocket::{RateLimited, policy};
use rocket::{http::Status, post};

/// Five wrong passwords a minute, and any number of right ones; fifteen wrong ones within
/// ten minutes ban the address for ten, then for twenty, and so on up to a day.
pub const CONFIG: &str = r#"
[default.limiter.policies.login]
quota = "5/minute"
count_only = [401]
ban = { threshold = 15, window = "10m", duration = "10m", factor = 2, refusals = false, statuses = [401] }
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
    use crate::test_helpers::client;

    #[test]
    fn wrong_passwords_are_limited_and_right_ones_are_not() {
        let client = client(CONFIG, routes![login]);
        let mut statuses = Vec::new();
        let passwords = ["correct horse"; 9].into_iter().chain(["a", "b", "c", "d", "e"]);
        for password in passwords.chain(["f", "correct horse"]) {
            statuses.push(client.post("/login").body(password).dispatch().status().code);
        }
        assert_eq!(statuses[..9], [200; 9]);
        assert_eq!(statuses[9..], [401, 401, 401, 401, 401, 429, 429]);
    }
}

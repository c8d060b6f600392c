//! Several policies in one guard, decided together: a refusal by one charges none.

use limiter_rocket::{RateLimited, policy};
use rocket::get;

/// The configuration.
pub const CONFIG: &str = r#"
[default.limiter.policies.burst]
quota = "3/minute"

[default.limiter.policies.daily]
quota = "5/day"
"#;

policy!(pub Api = ["burst", "daily"]);

/// A handler.
#[get("/")]
pub fn index(_limit: RateLimited<Api>) -> &'static str {
    "hello"
}

#[cfg(test)]
mod tests {
    use rocket::routes;

    use super::*;
    use crate::test_helpers::{client, field};

    #[test]
    fn a_refusal_by_one_charges_none() {
        let client = client(CONFIG, routes![index]);
        for status in [200, 200, 200, 429, 429] {
            assert_eq!(client.get("/").dispatch().status().code, status);
        }
        // The two that the burst refused left the day's count alone.
        let refused = client.get("/").dispatch();
        let limits = field(&refused, "ratelimit").to_owned();
        assert!(limits.contains(r#""daily";r=2"#), "{limits}");
    }
}

//! Failures cost nothing: what the server answers with 5xx is given back.

use limiter_rocket::{RateLimited, policy};
use rocket::{get, http::Status};

/// Five exports an hour that succeed.
pub const CONFIG: &str = r#"
[default.limiter.policies.export]
quota = "5/hour"
refund = ["5xx"]
"#;

policy!(pub Export = "export");

/// The handler, of a server whose disk may be full.
#[get("/export?<full>")]
pub fn export(_limit: RateLimited<Export>, full: bool) -> Status {
    if full { Status::InsufficientStorage } else { Status::Ok }
}

#[cfg(test)]
mod tests {
    use rocket::routes;

    use super::*;
    use crate::test_helpers::{client, field};

    #[test]
    fn what_fails_costs_nothing() {
        let client = client(CONFIG, routes![export]);
        for _ in 0..20 {
            let failed = client.get("/export?full=true").dispatch();
            assert_eq!(failed.status().code, 507);
            assert!(field(&failed, "ratelimit").starts_with("\"export\";r=5;"));
        }
        let export = || client.get("/export?full=false").dispatch().status().code;
        let statuses: Vec<_> = (0..6).map(|_| export()).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    }
}

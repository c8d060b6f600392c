//! Behind a load balancer: who the client is, and health checks that are not
//! counted. (For Cloudflare write its networks and `cf-connecting-ip`, for nginx of
//! the same host `127.0.0.1` and `x-real-ip`.)

use limiter_rocket::RateLimited;
use rocket::get;

/// The configuration. Health checks come from the load balancer itself, without the
/// header: they are exempt.
pub const CONFIG: &str = r#"
[default.limiter]
trusted_proxies = ["10.0.0.0/16"]
client_ip_header = "x-forwarded-for"
exempt = ["GET /health"]

[default.limiter.policies.default]
quota = "2/minute"
"#;

/// A handler.
#[get("/")]
pub fn index(_limit: RateLimited) -> &'static str {
    "hello"
}

/// The health check, limited or not.
#[get("/health")]
pub fn health(_limit: RateLimited) -> &'static str {
    "well"
}

#[cfg(test)]
mod tests {
    use rocket::{http::Header, routes};

    use super::*;
    use crate::test_helpers::client;

    #[test]
    fn what_a_client_wrote_itself_is_never_reached_and_health_checks_are_exempt() {
        let client = client(CONFIG, routes![index, health]);
        let proxy = "10.0.3.4:5000".parse().unwrap();
        let from = |forwarded: &'static str| {
            let header = Header::new("x-forwarded-for", forwarded);
            client.get("/").remote(proxy).header(header).dispatch().status().code
        };
        assert_eq!(from("1.1.1.1, 203.0.113.7"), 200);
        assert_eq!(from("2.2.2.2, 203.0.113.7"), 200);
        assert_eq!(from("3.3.3.3, 203.0.113.7"), 429);
        assert_eq!(from("203.0.113.8"), 200);
        for _ in 0..4 {
            assert_eq!(client.get("/health").remote(proxy).dispatch().status().code, 200);
        }
    }
}

//! CORS: scripts of other sites may read the limiter's fields, of refusals too.

use rocket::{
    Request, Response,
    fairing::{Fairing, Info, Kind},
    http::Header,
};

/// A fairing that allows one origin. It runs for refusals like for all responses.
#[derive(Debug)]
pub struct Cors;

#[rocket::async_trait]
impl Fairing for Cors {
    fn info(&self) -> Info {
        Info { name: "CORS", kind: Kind::Response }
    }

    async fn on_response<'r>(&self, _: &'r Request<'_>, response: &mut Response<'r>) {
        let origin = "https://app.example.org";
        response.set_header(Header::new("access-control-allow-origin", origin));
        response.set_header(Header::new("vary", "origin"));
        let exposed = "ratelimit, ratelimit-policy, retry-after";
        response.set_header(Header::new("access-control-expose-headers", exposed));
    }
}

#[cfg(test)]
mod tests {
    use limiter_rocket::RateLimited;
    use rocket::{get, local::blocking::Client, routes};

    use super::*;
    use crate::test_helpers::{field, rocket};

    #[get("/")]
    fn index(_limit: RateLimited) -> &'static str {
        "hello"
    }

    #[test]
    fn a_refusal_can_be_read_by_scripts() {
        let config = "[default.limiter.policies.default]\nquota = \"1/hour\"\n";
        let client = Client::untracked(rocket(config, routes![index]).attach(Cors)).unwrap();
        client.get("/").dispatch();
        let refused = client.get("/").dispatch();
        assert_eq!(refused.status().code, 429);
        assert_eq!(field(&refused, "access-control-allow-origin"), "https://app.example.org");
        for name in field(&refused, "access-control-expose-headers").split(", ") {
            assert_ne!(field(&refused, name), "", "{name} is not there");
        }
    }
}

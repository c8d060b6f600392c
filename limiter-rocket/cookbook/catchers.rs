//! Bodies of your own: a catcher answers HTML to people and JSON to programs, with
//! the numbers of the refusal. `Retry-After` and `RateLimit` are added to both.

use limiter_rocket::{RateLimited, refusal};
use rocket::{
    Request, catch, get,
    http::{ContentType, Status},
    serde::json::json,
};

/// The configuration.
pub const CONFIG: &str = "[default.limiter.policies.default]\nquota = \"1/hour\"\n";

/// A handler.
#[get("/")]
pub fn index(_limit: RateLimited) -> &'static str {
    "hello"
}

/// The catcher: `.register("/", catchers![too_many])`.
#[catch(429)]
pub fn too_many(status: Status, request: &Request<'_>) -> (ContentType, String) {
    let refusal = refusal(request);
    let wait = refusal.as_ref().and_then(|refusal| refusal.retry_after());
    let seconds = wait.map(|wait| wait.as_secs() + 1);
    let prefers_html = request.accept().is_some_and(|accept| accept.preferred().is_html());
    if prefers_html {
        let wait =
            seconds.map_or_else(String::new, |s| format!("<p>Come back in {s} seconds.</p>"));
        return (ContentType::HTML, format!("<!doctype html><h1>Not so fast</h1>{wait}"));
    }
    let policy = refusal.as_ref().and_then(|refusal| refusal.policy());
    let body = json!({ "error": status.reason(), "policy": policy, "retry_after": seconds });
    (ContentType::JSON, body.to_string())
}

#[cfg(test)]
mod tests {
    use rocket::{catchers, http::Accept, local::blocking::Client, routes};

    use super::*;
    use crate::test_helpers::{field, rocket};

    #[test]
    fn people_read_html_and_programs_json() {
        let rocket = rocket(CONFIG, routes![index]).register("/", catchers![too_many]);
        let client = Client::untracked(rocket).unwrap();
        client.get("/").dispatch();
        let page = client.get("/").header(Accept::HTML).dispatch();
        assert_eq!(page.status().code, 429);
        assert!(page.into_string().unwrap().contains("Come back in 3"));
        let answer = client.get("/").header(Accept::JSON).dispatch();
        assert!(field(&answer, "retry-after").starts_with('3'));
        let body = answer.into_string().unwrap();
        assert!(body.contains(r#""policy":"default""#), "{body}");
    }
}

//! Requests that cost what they ask for: here the most tokens that the answer of a
//! language model may have, in the query.

use limiter_rocket::{Policies, RateLimited};
use rocket::{Request, get};

/// The configuration.
pub const CONFIG: &str = "[default.limiter.policies.tokens]\nquota = \"1000/minute\"\n";

/// The policy of the guard, with the cost of a request.
#[derive(Debug)]
pub struct Tokens;

impl Policies for Tokens {
    const NAMES: &'static [&'static str] = &["tokens"];

    fn cost(request: &Request<'_>) -> u64 {
        // Without a number the handler is not reached, so it costs the least.
        let asked = request.query_value::<u64>("max_tokens");
        asked.and_then(Result::ok).unwrap_or(1).max(1)
    }
}

/// The handler.
#[get("/complete?<max_tokens>")]
pub fn complete(max_tokens: u64, limit: RateLimited<Tokens>) -> String {
    let left = limit.tightest().map_or(0, |quota| quota.remaining());
    format!("{max_tokens} tokens, {left} left")
}

#[cfg(test)]
mod tests {
    use rocket::routes;

    use super::*;
    use crate::test_helpers::{client, field};

    #[test]
    fn a_request_takes_its_tokens() {
        let client = client(CONFIG, routes![complete]);
        let first = client.get("/complete?max_tokens=700").dispatch();
        assert_eq!(first.into_string().unwrap(), "700 tokens, 300 left");
        let second = client.get("/complete?max_tokens=700").dispatch();
        assert_eq!(second.status().code, 429);
        // 400 tokens are back in 24 s, a little less for those that are already.
        assert!((23..=24).contains(&field(&second, "retry-after").parse::<u64>().unwrap()));
        assert_eq!(client.get("/complete?max_tokens=100").dispatch().status().code, 200);
    }
}

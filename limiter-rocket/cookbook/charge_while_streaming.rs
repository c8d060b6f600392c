//! A budget of tokens for answers that stream: what an answer costs is known only as it
//! is written, so each piece charges what has been used until then.

use limiter_rocket::{RateLimited, policy};
use rocket::{get, response::stream::TextStream};

/// Ten tokens an hour.
pub const CONFIG: &str = "[default.limiter.policies.tokens]\nquota = \"10/hour\"\n";

policy!(pub Tokens = "tokens");

/// The handler. The check charges one token; a client that has none left is refused before
/// anything is written.
#[get("/complete")]
pub fn complete(limit: RateLimited<Tokens>) -> TextStream![&'static str] {
    let permit = limit.permit().cloned();
    TextStream! {
        let mut used = 0;
        for token in ["the ", "quick ", "brown ", "fox "] {
            used += 1;
            if let Some(permit) = &permit {
                permit.charge_to(used).await;
            }
            yield token;
        }
    }
}

#[cfg(test)]
mod tests {
    use rocket::routes;

    use super::*;
    use crate::test_helpers::client;

    #[test]
    fn each_token_is_charged_and_the_last_answer_is_not_cut() {
        let client = client(CONFIG, routes![complete]);
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let response = client.get("/complete").dispatch();
            statuses.push(response.status().code);
            let body = response.into_string().unwrap();
            assert!(statuses.last() == Some(&429) || body == "the quick brown fox ");
        }
        // The third overdraws the budget by two tokens, which the next one waits for.
        assert_eq!(statuses, [200, 200, 200, 429]);
    }
}

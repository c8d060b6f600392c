//! Requests that cost what they ask for: tokens of a language model, or the
//! complexity of a GraphQL query. The limit is met in the handler, where the body
//! is known.

use actix_web::{HttpRequest, HttpResponse, error::ErrorInternalServerError, web};
use limiter_actix::{AdmitOptions, Limiter, admit};
use serde::Deserialize;

/// The request of a client to a language model.
#[derive(Debug, Deserialize)]
pub struct Completion {
    /// The text to go on from.
    pub prompt: String,
    /// The most tokens that the answer may have.
    pub max_tokens: u64,
}

/// The handler. Without its own `RateLimit` around it, the policy `tokens` is
/// charged here alone.
///
/// # Errors
/// The refusal, as a response.
pub async fn complete(
    request: HttpRequest,
    limiter: web::Data<Limiter>,
    completion: web::Json<Completion>,
) -> actix_web::Result<HttpResponse> {
    let tokens = limiter.policy("tokens").map_err(ErrorInternalServerError)?;
    // About four characters are one token. The answer is charged as asked for.
    let cost = (completion.prompt.len() as u64).div_ceil(4).saturating_add(completion.max_tokens);
    let permit = admit(&request, &tokens, AdmitOptions::default().with_cost(cost)).await?;
    let left =
        permit.and_then(|permit| permit.decision().tightest().map(|quota| quota.remaining()));
    Ok(HttpResponse::Ok().json(serde_json::json!({ "text": "...", "tokens_left": left })))
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test, test::TestRequest};
    use limiter_actix::Policy;

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn a_request_takes_its_tokens() {
        let tokens = Policy::new("tokens", "1000/minute").unwrap();
        let limiter = Limiter::builder().policy(tokens).build().await.unwrap();
        let app = App::new()
            .app_data(web::Data::new(limiter))
            .route("/complete", web::post().to(complete));
        let app = test::init_service(app).await;
        let ask = |max_tokens: u64| {
            let body = serde_json::json!({ "prompt": "12345678", "max_tokens": max_tokens });
            TestRequest::post().uri("/complete").set_json(body)
        };
        let first = send(&app, ask(698)).await;
        assert_eq!(
            (first.status, first.body.as_str()),
            (200, r#"{"text":"...","tokens_left":300}"#)
        );
        let second = send(&app, ask(698)).await;
        assert_eq!(second.status, 429);
        // 400 tokens are back in 24 s, a little less for those that are already.
        assert!((23..=24).contains(&second.header("retry-after").parse::<u64>().unwrap()));
        assert_eq!(send(&app, ask(100)).await.status, 200);
        // More than there ever is: no time would do.
        assert_eq!(send(&app, ask(5_000)).await.header("retry-after"), "");
    }
}

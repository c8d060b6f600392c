//! Limits by user: authentication verifies a token, and the policy counts the user
//! that it names (`key = "user"`); without a user it counts the address.

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use limiter_actix::User;

/// Authentication, as a middleware: `.wrap(from_fn(authenticate))`, after the limit
/// is wrapped, so that it runs before it.
///
/// # Errors
/// Those of the wrapped service.
pub async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    // A user that is not verified would be the client's word, and a new count each.
    if let Some(user) = token.and_then(verified_user) {
        request.extensions_mut().insert(User::new(user));
    }
    next.call(request).await
}

/// Stands for the check of a signature, or a look at the sessions.
fn verified_user(token: &str) -> Option<&'static str> {
    match token.strip_prefix("Bearer ")? {
        "token-of-alice" => Some("alice"),
        "token-of-bob" => Some("bob"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, middleware::from_fn, test, test::TestRequest, web};
    use limiter_actix::{Config, Limiter, RateLimit};

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn users_are_counted_apart_and_strangers_by_address() {
        let config = Config::from_toml("[policies.api]\nquota = \"1/hour\"\nkey = \"user\"\n");
        let limiter = Limiter::from_config(config.unwrap()).await.unwrap();
        let app = App::new()
            .wrap(RateLimit::new(limiter.policy("api").unwrap()))
            .wrap(from_fn(authenticate))
            .route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        let mut statuses = Vec::new();
        for token in ["token-of-alice", "token-of-bob", "token-of-alice", "forged", "forged-2"] {
            let header = ("authorization", format!("Bearer {token}"));
            statuses.push(send(&app, TestRequest::get().insert_header(header)).await.status);
        }
        assert_eq!(statuses, [200, 200, 429, 200, 429]);
    }
}

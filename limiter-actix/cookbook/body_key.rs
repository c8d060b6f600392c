//! A key from the body: an account's e-mail address, so that many addresses of one
//! attacker count together. It is met in the handler, where the body is known.

use actix_web::{HttpRequest, HttpResponse, error::ErrorInternalServerError, web};
use limiter_actix::{AdmitOptions, Key, Limiter, admit};
use serde::Deserialize;

/// A form that asks for a new password.
#[derive(Debug, Deserialize)]
pub struct Reset {
    /// The account.
    pub email: String,
}

/// The handler. Around it stands a `RateLimit` by address: an attacker who changes
/// the e-mail address with each request is stopped by that one.
///
/// # Errors
/// The refusal, as a response.
pub async fn reset_password(
    request: HttpRequest,
    limiter: web::Data<Limiter>,
    reset: web::Form<Reset>,
) -> actix_web::Result<HttpResponse> {
    let policy = limiter.policy("reset").map_err(ErrorInternalServerError)?;
    let account = Key::custom("email", &reset.email.trim().to_lowercase());
    admit(&request, &policy, AdmitOptions::default().with_key(Some(account))).await?;
    Ok(HttpResponse::Ok().body("If there is such an account, it has got a mail."))
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test, test::TestRequest};
    use limiter_actix::{Policy, RateLimit};

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn an_account_has_its_limit_and_an_address_too() {
        let limiter = Limiter::builder()
            .policy(Policy::new("reset", "1/hour").unwrap())
            .policy(Policy::new("address", "4/hour").unwrap());
        let limiter = limiter.build().await.unwrap();
        let app = App::new()
            .app_data(web::Data::new(limiter.clone()))
            .wrap(RateLimit::new(limiter.policy("address").unwrap()))
            .route("/reset", web::post().to(reset_password));
        let app = test::init_service(app).await;
        let mut statuses = Vec::new();
        for email in
            ["a@example.org", " A@example.org", "b@example.org", "c@example.org", "d@example.org"]
        {
            let request = TestRequest::post().uri("/reset").set_form([("email", email)]);
            statuses.push(send(&app, request).await.status);
        }
        assert_eq!(statuses, [200, 429, 200, 200, 429]);
    }
}

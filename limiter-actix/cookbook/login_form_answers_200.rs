//! Strikes by hand: a login form that answers 200 with an error in the page. No status
//! says that the password was wrong, so the handler does.

use std::time::Duration;

use actix_web::{HttpResponse, Responder};
use limiter_actix::{BanRule, ConfigError, Policy, RateLimited};

/// The status that stands for a wrong password in the ban rule.
const WRONG_PASSWORD: u16 = 401;

/// Twenty tries a minute; five wrong passwords within ten minutes ban the address for ten.
///
/// # Errors
/// None with these numbers.
pub fn policy() -> Result<Policy, ConfigError> {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let ban = BanRule::after_strikes(5).within(minutes(10)).for_duration(minutes(10))?;
    Ok(Policy::new("login", "20/minute")?.with_ban(ban.with_statuses([WRONG_PASSWORD])?))
}

/// The handler, behind `RateLimit::new(limiter.policy("login")?)`.
pub async fn login_form(limited: RateLimited, password: String) -> impl Responder {
    if password == "correct horse" {
        return HttpResponse::SeeOther().insert_header(("location", "/")).finish();
    }
    // A request is one strike at most, whatever its response is recorded as later.
    if let Some(permit) = limited.permit() {
        permit.record_response(WRONG_PASSWORD).await;
    }
    HttpResponse::Ok().body("<p class=error>That was not the password.</p>")
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test, test::TestRequest, web};
    use limiter_actix::{Limiter, RateLimit};

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn errors_in_the_page_ban() {
        let limiter = Limiter::builder().policy(policy().unwrap()).build().await.unwrap();
        let limit = RateLimit::new(limiter.policy("login").unwrap());
        let route = web::resource("/login").wrap(limit).route(web::post().to(login_form));
        let app = test::init_service(App::new().service(route)).await;
        let mut statuses = Vec::new();
        for password in ["a", "correct horse", "b", "c", "d", "e", "correct horse"] {
            let request = TestRequest::post().uri("/login").set_payload(password);
            statuses.push(send(&app, request).await.status);
        }
        assert_eq!(statuses, [200, 303, 200, 200, 200, 200, 403]);
    }
}

//! Login protection: wrong passwords ban, and a login that succeeds forgives.

use std::time::Duration;

use actix_web::{HttpResponse, Responder, web};
use limiter_actix::{BanRule, Limiter, Permit, Policy, limiter_core::ConfigError};

/// Twenty tries a minute; five wrong passwords within ten minutes ban the address
/// for ten, then for twenty, and so on up to a day.
///
/// # Errors
/// None with these numbers.
pub fn policy() -> Result<Policy, ConfigError> {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let ban = BanRule::after_strikes(5).within(minutes(10)).for_duration(minutes(10))?;
    let ban = ban.with_factor_thousandths(2_000)?.with_statuses([401])?.with_refusals(false);
    Ok(Policy::new("login", "20/minute")?.with_ban(ban))
}

/// The handler, behind `RateLimit::new(limiter.policy("login")?)`.
pub async fn login(permit: web::ReqData<Permit>, password: String) -> impl Responder {
    if password != "correct horse" {
        return HttpResponse::Unauthorized().body("wrong password");
    }
    // Who knows the password is no attacker: the failures before are forgotten. A
    // store that is away only means that they are not.
    if permit.forgive("login").await.is_err() {
        return HttpResponse::Ok().body("welcome, though your failures still count");
    }
    HttpResponse::Ok().body("welcome")
}

/// The limiter of the application.
///
/// # Errors
/// None in memory.
pub async fn limiter() -> Result<Limiter, ConfigError> {
    Limiter::builder().policy(policy()?).build().await
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test, test::TestRequest, web};
    use limiter_actix::RateLimit;

    use super::*;
    use crate::testing::send;

    #[actix_web::test]
    async fn five_wrong_passwords_ban_unless_one_is_right_between() {
        let limiter = limiter().await.unwrap();
        let limit = RateLimit::new(limiter.policy("login").unwrap());
        let route = web::resource("/login").wrap(limit).route(web::post().to(login));
        let app = test::init_service(App::new().service(route)).await;
        let mut statuses = Vec::new();
        for password in
            ["a", "b", "c", "d", "correct horse", "a", "b", "c", "d", "e", "correct horse"]
        {
            let request = TestRequest::post().uri("/login").set_payload(password);
            statuses.push(send(&app, request).await.status);
        }
        assert_eq!(statuses, [401, 401, 401, 401, 200, 401, 401, 401, 401, 401, 403]);
    }
}

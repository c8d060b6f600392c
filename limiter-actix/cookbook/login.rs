//! Login protection: only wrong passwords count, as many at once as in a row; those who go
//! on are banned, and a login that succeeds forgives.

use std::time::Duration;

use actix_web::{HttpResponse, Responder};
use limiter_actix::{BanRule, Limiter, Policy, RateLimited, limiter_core::ConfigError};

/// Five wrong passwords a minute, and any number of right ones; fifteen wrong ones within
/// ten minutes ban the address for ten, then for twenty, and so on up to a day.
///
/// # Errors
/// None with these numbers.
pub fn policy() -> Result<Policy, ConfigError> {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let ban = BanRule::after_strikes(15).within(minutes(10)).for_duration(minutes(10))?;
    let ban = ban.with_factor_thousandths(2_000)?.with_statuses([401])?.with_refusals(false);
    Ok(Policy::new("login", "5/minute")?.with_count_only([401])?.with_ban(ban))
}

/// The handler, behind `RateLimit::new(limiter.policy("login")?)`.
pub async fn login(limited: RateLimited, password: String) -> impl Responder {
    if password != "correct horse" {
        return HttpResponse::Unauthorized().body("wrong password");
    }
    // Who knows the password is no attacker: the failures before are forgotten. A
    // store that is away only means that they are not.
    if let Some(permit) = limited.permit()
        && permit.forgive("login").await.is_err()
    {
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
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn wrong_passwords_are_limited_and_right_ones_are_not() {
        let limiter = limiter().await.unwrap();
        let limit = RateLimit::new(limiter.policy("login").unwrap());
        let route = web::resource("/login").wrap(limit).route(web::post().to(login));
        let app = test::init_service(App::new().service(route)).await;
        let mut statuses = Vec::new();
        let passwords = ["correct horse"; 9].into_iter().chain(["a", "b", "c", "d", "e"]);
        for password in passwords.chain(["f", "correct horse"]) {
            let request = TestRequest::post().uri("/login").set_payload(password);
            statuses.push(send(&app, request).await.status);
        }
        assert_eq!(statuses[..9], [200; 9]);
        assert_eq!(statuses[9..], [401, 401, 401, 401, 401, 429, 429]);
    }
}

//! API plans: the policy follows from the client's plan.

use actix_web::HttpMessage;
use limiter_actix::{Limiter, RateLimit, UnknownPolicy};

/// What a client pays for. Authentication puts it into the request's extensions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Nothing.
    Free,
    /// A fee.
    Paying,
}

/// The middleware, which takes the policy `free` or `paying` for each request.
///
/// # Errors
/// If one of the policies is not configured.
pub fn by_plan(limiter: &Limiter) -> Result<RateLimit, UnknownPolicy> {
    let (free, paying) = (limiter.policy("free")?, limiter.policy("paying")?);
    Ok(RateLimit::by(move |request| match request.extensions().get::<Plan>() {
        Some(Plan::Paying) => paying.clone(),
        Some(Plan::Free) | None => free.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, dev::Service, test, test::TestRequest, web};
    use limiter_actix::Config;

    use super::*;
    use crate::testing::send;

    #[actix_web::test]
    async fn each_plan_has_its_limit() {
        let config = Config::from_toml(
            r#"
            [policies.free]
            quota = "1/hour"
            [policies.paying]
            quota = "3/hour"
            "#,
        );
        let limiter = Limiter::from_config(config.unwrap()).await.unwrap();
        let app = App::new()
            .wrap(by_plan(&limiter).unwrap())
            // Wrapped last, it runs first: stands for the authentication.
            .wrap_fn(|request, service| {
                let pays = request.headers().contains_key("x-test-pays");
                request.extensions_mut().insert(if pays { Plan::Paying } else { Plan::Free });
                service.call(request)
            })
            .route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        let mut admitted = [0, 0];
        for _ in 0..5 {
            let free = send(&app, TestRequest::get()).await;
            let paying = send(&app, TestRequest::get().insert_header(("x-test-pays", "1"))).await;
            admitted[0] += u32::from(free.status == 200);
            admitted[1] += u32::from(paying.status == 200);
        }
        assert_eq!(admitted, [1, 3]);
    }
}

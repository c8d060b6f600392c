//! API plans: one policy, whose quotas follow from the client's plan.

use actix_web::HttpMessage;
use limiter_actix::{Limiter, Quotas, RateLimit};

/// The plan of a client. Authentication puts it into the request's extensions.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The quotas of the plan, parsed once.
    pub quotas: Quotas,
}

/// The middleware. A request without a plan counts by the policy's own quotas, and what
/// it has used counts on when it gets one with the same windows.
///
/// # Errors
/// If the policy is not configured.
pub fn by_plan(limiter: &Limiter) -> Result<RateLimit, limiter_actix::UnknownPolicy> {
    Ok(RateLimit::new(limiter.policy("api")?).quotas("api", |request| {
        request.extensions().get::<Plan>().map(|plan| plan.quotas.clone())
    }))
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, dev::Service, test, test::TestRequest, web};
    use limiter_actix::Config;

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn each_plan_has_its_limit() {
        let config = Config::from_toml("[policies.api]\nquota = \"1/hour\"");
        let limiter = Limiter::from_config(config.unwrap()).await.unwrap();
        let paying = Plan { quotas: "3/hour".parse().unwrap() };
        let app = App::new()
            .wrap(by_plan(&limiter).unwrap())
            // Wrapped last, it runs first: stands for the authentication.
            .wrap_fn(move |request, service| {
                if request.headers().contains_key("x-test-pays") {
                    request.extensions_mut().insert(paying.clone());
                }
                service.call(request)
            })
            .route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        let free = || TestRequest::get();
        let paying = || TestRequest::get().insert_header(("x-test-pays", "1"));
        let first = send(&app, free()).await;
        assert_eq!((first.status, first.header("ratelimit-policy")), (200, r#""api";q=1;w=3600"#));
        assert_eq!(send(&app, free()).await.status, 429);
        // The client pays: the one request that it has made counts.
        let second = send(&app, paying()).await;
        assert_eq!(second.status, 200);
        assert_eq!(second.header("ratelimit-policy"), r#""api";q=3;w=3600"#);
        assert!(second.header("ratelimit").starts_with(r#""api";r=1"#));
        assert_eq!(send(&app, paying()).await.status, 200);
        let refused = send(&app, paying()).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "1200"));
    }
}

//! Mistakes that only actix-web makes possible: a handler's view without a limit, exempt
//! endpoints that are none.

use actix_web::{App, body, test, web};
use limiter_actix::{Limiter, Policy, RateLimit, RateLimited};

use super::specific::{get, hello, limiter};
use crate::captured_log::CapturedLog;

async fn left(limited: RateLimited) -> String {
    limited.tightest().map_or_else(|| "uncounted".to_owned(), |quota| quota.remaining().to_string())
}

#[actix_web::test]
async fn a_handler_sees_its_limit_and_is_an_error_without_one() {
    let limiter = limiter("5/hour").await;
    let api = || RateLimit::new(limiter.policy("api").unwrap());
    let limited = api().exempt("/exempt").unwrap().skip(|request| request.query_string() == "skip");
    let route = || web::get().to(left);
    let app = App::new()
        .route("/bare", route())
        .service(web::scope("").wrap(limited).route("/exempt", route()).route("/counted", route()));
    let app = test::init_service(app).await;
    let mut answers = Vec::new();
    for path in ["/counted", "/exempt", "/counted?skip", "/counted"] {
        let body = test::call_and_read_body(&app, get(path).to_request()).await;
        answers.push(String::from_utf8(body.to_vec()).unwrap());
    }
    assert_eq!(answers, ["4", "uncounted", "uncounted", "3"]);

    let log = CapturedLog::start();
    let bare = test::call_service(&app, get("/bare").to_request()).await;
    assert_eq!(bare.status(), 500);
    let body = body::to_bytes(bare.into_body()).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap() + &log.text();
    assert!(text.contains("a handler takes RateLimited, and no RateLimit wraps it"), "{text}");
}

#[actix_web::test]
async fn an_exempt_endpoint_that_no_route_is_is_logged_once() {
    let log = CapturedLog::start();
    let builder = Limiter::builder().policy(Policy::new("api", "5/hour").unwrap());
    let limiter = builder.exempt(["GET /healht", "/in/<id>", "/in/{id}"]).build().await.unwrap();
    let api = RateLimit::new(limiter.policy("api").unwrap());
    let api = api.exempt("/helth").unwrap().exempt("/health").unwrap();
    for _ in 0..3 {
        let scope = web::scope("/in").route("/{id}", web::get().to(hello));
        let app = App::new().wrap(api.clone()).service(scope);
        let app = test::init_service(app.route("/health", web::get().to(hello))).await;
        test::call_service(&app, get("/health").to_request()).await;
        test::call_service(&app, get("/in/7").to_request()).await;
    }
    let text = log.text();
    let warned = text.matches("exempt: this application has no route").count();
    assert_eq!(warned, 3, "{text}");
    for pattern in ["\"/healht\"", "\"/helth\"", "\"/in/<id>\""] {
        assert_eq!(text.matches(pattern).count(), 1, "{pattern}: {text}");
    }
}

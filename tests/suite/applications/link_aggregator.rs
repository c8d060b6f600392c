//! A link aggregator, in actix-web: a limit by address for each kind of action. The
//! administrator changes the limits while it runs, and clients read errors of one form.

use actix_web::{
    App, HttpResponse, ResponseError, dev::ServiceRequest, guard, test, test::TestRequest, web,
};
use limiter_actix::{Config, Limiter, RateLimit, Refusal, RefusalKind, Refused};
use serde_json::{Map, Value, json};

use super::{Setup, peer, send};

/// Returns the limits of a new site, as it keeps them in its database: of each kind of
/// action so many requests in so many seconds.
fn new_site() -> Value {
    json!({
        "message": [180, 60],
        "post": [2, 600],
        "register": [10, 3600],
        "image": [6, 3600],
        "comment": [6, 600],
        "search": [60, 600],
        "import": [1, 86_400],
    })
}

/// Returns the configuration of these limits.
fn config(limits: &Value) -> Result<Config, serde_json::Error> {
    let mut policies = Map::new();
    for (action, limit) in limits.as_object().into_iter().flatten() {
        let quota = format!("{}/{}s", limit[0], limit[1]);
        policies.insert(action.clone(), json!({ "quota": quota, "headers": "none" }));
    }
    serde_json::from_value(json!({ "policies": policies }))
}

/// Returns the limit of a kind of action.
fn limit(limiter: &Limiter, action: &str) -> RateLimit {
    let policy = limiter.policy(action).expect("the site has a limit for each action");
    RateLimit::new(policy).on_refusal(refused)
}

fn refused(_: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
    let error = match refusal.kind() {
        RefusalKind::Limited => "rate_limit_error",
        _ => "unavailable",
    };
    HttpResponse::build(Refused(refusal.clone()).status_code()).json(json!({ "error": error }))
}

/// The handler of the administrator's form.
async fn edit_site(limiter: web::Data<Limiter>, limits: web::Json<Value>) -> HttpResponse {
    let changed = match config(&limits) {
        Ok(config) => limiter.reload_with(config).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match changed {
        Ok(reloaded) => HttpResponse::Ok().json(reloaded.changes),
        Err(error) => HttpResponse::BadRequest().json(json!({ "error": error })),
    }
}

macro_rules! site {
    ($limiter:expr) => {{
        let limiter: Limiter = $limiter;
        let action = |path: &str, action: &str| {
            web::resource(path).wrap(limit(&limiter, action)).to(HttpResponse::Ok)
        };
        let post = web::resource("/post").guard(guard::Post());
        let app = App::new()
            .app_data(web::Data::new(limiter.clone()))
            .service(post.wrap(limit(&limiter, "post")).to(HttpResponse::Ok))
            .service(action("/post", "message"))
            .service(action("/comment", "comment"))
            .service(action("/user/register", "register"))
            .service(action("/image", "image"))
            .service(action("/search", "search"))
            .service(action("/user/import", "import"))
            .route("/site", web::put().to(edit_site));
        test::init_service(app).await
    }};
}

#[actix_web::test]
async fn each_kind_of_action_has_its_limit() {
    let setup = Setup::of(config(&new_site()).unwrap()).await;
    let site = site!(setup.limiter);
    let post = |from: &str| TestRequest::post().uri("/post").peer_addr(peer(from)).to_request();
    for status in [200, 200] {
        assert_eq!(send(&site, post("192.0.2.1")).await.status, status);
    }
    let refused = send(&site, post("192.0.2.1")).await;
    assert_eq!((refused.status, refused.json()), (429, json!({ "error": "rate_limit_error" })));
    assert_eq!((refused.field("retry-after"), refused.field("ratelimit")), ("300", ""));

    // It may read and search on, and others may post.
    for path in ["/post", "/search", "/user/import"] {
        let request = TestRequest::with_uri(path).peer_addr(peer("192.0.2.1")).to_request();
        assert_eq!(send(&site, request).await.status, 200, "{path}");
    }
    assert_eq!(send(&site, post("192.0.2.2")).await.status, 200);
}

#[actix_web::test]
async fn the_administrator_changes_a_limit_while_the_site_runs() {
    let setup = Setup::of(config(&new_site()).unwrap()).await;
    let site = site!(setup.limiter);
    let import = || TestRequest::with_uri("/user/import").peer_addr(peer("192.0.2.1")).to_request();
    let edit = |import: Value| {
        let mut limits = new_site();
        limits["import"] = import;
        TestRequest::put().uri("/site").set_json(limits).to_request()
    };
    assert_eq!(send(&site, import()).await.status, 200);
    assert_eq!(send(&site, import()).await.status, 429);

    let edited = send(&site, edit(json!([2, 86_400]))).await;
    let change = r#"policies.import.quota: "1/86400s" -> "2/86400s""#;
    assert_eq!((edited.status, edited.json()), (200, json!([change])));
    // The one import that was made counts.
    assert_eq!(send(&site, import()).await.status, 200);
    assert_eq!(send(&site, import()).await.status, 429);

    let wrong = send(&site, edit(json!([0, 86_400]))).await;
    assert_eq!(wrong.status, 400);
    let error = wrong.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.starts_with("policies.import.quota: "), "{error}");
    assert_eq!(send(&site, import()).await.status, 429);
}

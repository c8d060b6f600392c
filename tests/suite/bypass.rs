//! Other spellings of one path or method: whatever a framework routes to a
//! limited handler is counted by it, and opens no second count.

use actix_web::{
    App, HttpResponse, get,
    http::Method,
    middleware::{NormalizePath, TrailingSlash},
    put, route, test, web,
};
use limiter_actix::RateLimit;
use limiter_core::{Limiter, Policy, Quota};
use limiter_rocket::{RateLimitFairing, RateLimited};
use rocket::{http::ContentType, http::Status, local::asynchronous::Client, routes};

/// One request an hour for each address and endpoint.
async fn limiter() -> Limiter {
    let policy = Policy::new("default", Quota::per_hour(1).unwrap()).unwrap();
    let policy = policy.with_key(["ip", "endpoint"]).unwrap();
    Limiter::builder().policy(policy).build().await.unwrap()
}

const SPELLINGS: [&str; 16] = [
    "/login",
    "/l%6Fgin",
    "/%6Cogin",
    "/%6c%6f%67%69%6e",
    "//login",
    "/login/",
    "/login//",
    "/./login",
    "/%2e/login",
    "/x/../login",
    "/login%2F",
    "/login%00",
    "/login;v=1",
    "/Login",
    "/login?x=1",
    "/login?",
];

#[get("/login", wrap = "RateLimit::named(\"default\")")]
async fn login() -> &'static str {
    "in"
}

#[get("/other", wrap = "RateLimit::named(\"default\")")]
async fn other() -> &'static str {
    "other"
}

#[put("/thing", wrap = "RateLimit::named(\"default\")")]
async fn put_thing() -> &'static str {
    "put"
}

#[route("/any", method = "GET", method = "HEAD", wrap = "RateLimit::named(\"default\")")]
async fn any() -> &'static str {
    "any"
}

/// The statuses that an application of actix-web answers requests with.
macro_rules! actix_statuses {
    ($app:expr, $requests:expr) => {{
        let service = test::init_service($app).await;
        let mut statuses = Vec::new();
        for (method, path) in $requests {
            let request = test::TestRequest::with_uri(path).method(method);
            let request = request.peer_addr("192.0.2.1:5000".parse().unwrap()).to_request();
            statuses.push(test::call_service(&service, request).await.status().as_u16());
        }
        statuses
    }};
}

#[actix_web::test]
async fn spellings_of_a_path_are_one_count_in_actix() {
    let requests = || SPELLINGS.map(|path| (Method::GET, path));
    let limiter = limiter().await;
    let app = App::new().app_data(limiter.clone()).service(login).service(other);
    let statuses = actix_statuses!(app, requests());
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| [404, 429].contains(status)), "{statuses:?}");
    assert!(statuses[1..4].iter().all(|status| *status == 429), "{statuses:?}");
}

async fn hello() -> &'static str {
    "hello"
}

/// Around an application or a scope, where nothing has been routed yet.
#[actix_web::test]
async fn spellings_of_a_path_are_one_count_before_they_are_routed() {
    let limit = RateLimit::new(limiter().await.policy("default").unwrap());
    let app = App::new().wrap(limit).route("/login", web::get().to(hello));
    let statuses = actix_statuses!(app, SPELLINGS[..4].iter().map(|path| (Method::GET, *path)));
    assert_eq!(statuses, [200, 429, 429, 429]);
    let limit = RateLimit::new(limiter().await.policy("default").unwrap());
    let scope = web::scope("/in").wrap(limit).route("/login", web::get().to(hello));
    let requests = ["/in/login", "/in/l%6Fgin", "/%69n/login"].map(|path| (Method::GET, path));
    assert_eq!(actix_statuses!(App::new().service(scope), requests), [200, 429, 429]);
}

/// Whatever `NormalizePath` makes of a path is one count, inside of the limit and
/// outside, around the application, a scope, and at the handler.
#[actix_web::test]
async fn mended_paths_are_one_count() {
    let modes = [TrailingSlash::Trim, TrailingSlash::MergeOnly, TrailingSlash::Always];
    for (mode, outside) in modes.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let path = if matches!(mode, TrailingSlash::Always) { "/in/login/" } else { "/in/login" };
        let spellings = ["/in/login", "/in//login", "//in/login/", "/in/l%6Fgin", "/in//%6cogin//"];
        let requests = spellings.map(|path| (Method::GET, path));
        let limiter = limiter().await;
        let limit = || RateLimit::new(limiter.policy("default").unwrap());
        let handler = || web::resource(path).route(web::get().to(hello));
        let statuses = if outside {
            let app = App::new().service(handler());
            actix_statuses!(app.wrap(NormalizePath::new(mode)).wrap(limit()), requests)
        } else {
            let app = App::new().service(handler());
            actix_statuses!(app.wrap(limit()).wrap(NormalizePath::new(mode)), requests)
        };
        let admitted = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(admitted, 1, "{mode:?}, outside: {outside}: {statuses:?}");
        let refused = statuses.iter().filter(|status| **status == 429).count();
        assert!(refused >= 2, "{mode:?}, outside: {outside}: {statuses:?}");
    }
    let app = App::new().app_data(limiter().await).service(login).wrap(NormalizePath::trim());
    let statuses = actix_statuses!(app, SPELLINGS.map(|path| (Method::GET, path)));
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(admitted, 1, "{statuses:?}");
}

/// A spelling that is counted as an exempt endpoint is not exempt as long as it is
/// routed elsewhere: here, to a handler of all other paths.
#[actix_web::test]
async fn what_is_routed_elsewhere_is_not_exempt() {
    let limiter = limiter().await;
    let door = || {
        let door = RateLimit::new(limiter.policy("default").unwrap());
        door.exempt("GET /health").unwrap().exempt("/in/{id}").unwrap()
    };
    let health = || web::resource("/health").route(web::get().to(hello));
    let scope = || web::scope("/in").route("/{id}", web::get().to(hello));
    let exempt =
        ["/health", "/h%65alth", "/health", "/in/1", "/in/2"].map(|path| (Method::GET, path));
    let app = App::new().wrap(door()).service(health()).service(scope());
    assert_eq!(actix_statuses!(app, exempt), [200; 5]);
    let app = App::new().wrap(door()).service(health()).default_service(web::to(hello));
    let others = ["//health", "/health/", "//health"].map(|path| (Method::GET, path));
    assert_eq!(actix_statuses!(app, others), [200, 429, 429]);
    let error = door().exempt("health").unwrap_err().to_string();
    assert!(error.contains("write a method and the pattern of a route"), "{error}");
}

#[actix_web::test]
async fn methods_are_no_way_round_in_actix() {
    let limiter = limiter().await;
    let app = || {
        let door = RateLimit::new(limiter.policy("default").unwrap());
        App::new().service(web::scope("").wrap(door).service(any).service(put_thing))
    };
    let app = app().app_data(limiter.clone());
    let head_and_get = [(Method::HEAD, "/any"), (Method::GET, "/any"), (Method::HEAD, "/any")];
    assert_eq!(actix_statuses!(app, head_and_get), [200, 429, 429]);
    // Methods that nobody has defined are one.
    let own = |name: &str| (Method::from_bytes(name.as_bytes()).unwrap(), "/nothing");
    let app = App::new()
        .wrap(RateLimit::new(limiter.policy("default").unwrap()))
        .default_service(web::to(HttpResponse::Ok));
    assert_eq!(actix_statuses!(app, [own("FOO"), own("BAR"), own("BAZ")]), [200, 429, 429]);
}

#[rocket::get("/login")]
fn rocket_login(_limit: RateLimited) -> &'static str {
    "in"
}

#[rocket::put("/thing")]
fn rocket_put(_limit: RateLimited) -> &'static str {
    "put"
}

#[rocket::post("/thing")]
fn rocket_post(_limit: RateLimited) -> &'static str {
    "posted"
}

async fn client() -> Client {
    let config = rocket::Config { log_level: rocket::config::LogLevel::Off, ..Default::default() };
    let rocket = rocket::custom(config)
        .attach(RateLimitFairing::new(limiter().await))
        .mount("/", routes![rocket_login, rocket_put, rocket_post]);
    Client::untracked(rocket).await.unwrap()
}

const PEER: &str = "192.0.2.1:5000";

#[tokio::test]
async fn spellings_of_a_path_are_one_count_in_rocket() {
    let client = client().await;
    let mut admitted = 0;
    // Rocket takes four of them and more for the same route.
    let mut refused = 0;
    for path in SPELLINGS {
        let request = client.get(path).remote(PEER.parse().unwrap());
        let status = request.dispatch().await.status();
        admitted += u32::from(status == Status::Ok);
        refused += u32::from(status == Status::TooManyRequests);
    }
    assert_eq!(admitted, 1);
    assert!(refused >= 5, "{refused}");
}

#[tokio::test]
async fn methods_are_no_way_round_in_rocket() {
    let client = client().await;
    let status = async |request: rocket::local::asynchronous::LocalRequest<'_>| {
        request.remote(PEER.parse().unwrap()).dispatch().await.status().code
    };
    // Rocket answers HEAD by the route for GET.
    assert_eq!(status(client.head("/login")).await, 200);
    assert_eq!(status(client.get("/login")).await, 429);
    // A form may choose the method: it is counted as what is routed.
    let form = || client.post("/thing").header(ContentType::Form).body("_method=put");
    assert_eq!(status(form()).await, 200);
    assert_eq!(status(form()).await, 429);
    assert_eq!(status(client.put("/thing")).await, 429);
    let plain = || client.post("/thing").header(ContentType::Form).body("x=1");
    assert_eq!(status(plain()).await, 200);
    assert_eq!(status(plain()).await, 429);
}

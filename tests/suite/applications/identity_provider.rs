//! An identity provider, in actix-web behind a proxy: failed logins ban, each time for
//! longer, and shut every path; scanners are locked out at once. The audit log has the
//! addresses, a login that succeeds forgives, and the administrator unlocks.

use std::{net::IpAddr, sync::Mutex, time::Duration};

use actix_web::{
    App, HttpRequest, HttpResponse, ResponseError, dev::ServiceRequest,
    error::ErrorInternalServerError, test, test::TestRequest, web,
};
use limiter_actix::{Limiter, RateLimit, RateLimited, Refusal, RefusalKind, Refused, client_ip};
use serde_json::json;

use super::{Setup, peer, send};

const CONFIG: &str = r#"
trusted_proxies = ["10.0.0.0/8"]
client_ip_header = "x-forwarded-for"

[policies.door]
quota = "600/minute"
ban = { threshold = 5, window = "10m", duration = "1m", factor = 10, group = "attackers" }

[policies.login]
quota = "30/minute"

[policies.login.ban]
threshold = 5
window = "10m"
duration = "1m"
factor = 10
group = "attackers"
refusals = false
statuses = [401]
"#;

/// Parts of paths that nobody asks for but scanners.
const SUSPICIOUS: [&str; 3] = ["/.env", "/.git/", "/wp-login.php"];

/// The audit log.
#[derive(Default)]
struct Audit(Mutex<Vec<String>>);

impl Audit {
    /// Notes an event, with the address of the request's client.
    fn note(&self, event: &str, request: &HttpRequest) -> actix_web::Result<IpAddr> {
        let address = client_ip(request).map_err(ErrorInternalServerError)?;
        self.0.lock().unwrap().push(format!("{event} from {address}"));
        Ok(address)
    }
}

async fn login(
    request: HttpRequest,
    limited: RateLimited,
    audit: web::Data<Audit>,
    password: String,
) -> actix_web::Result<HttpResponse> {
    if password != "correct horse" {
        audit.note("failed login", &request)?;
        return Ok(HttpResponse::Unauthorized().finish());
    }
    if let Some(permit) = limited.permit() {
        permit.forgive("login").await.map_err(ErrorInternalServerError)?;
    }
    audit.note("login", &request)?;
    Ok(HttpResponse::Ok().finish())
}

/// Answers paths that nobody serves.
async fn not_found(
    request: HttpRequest,
    limiter: web::Data<Limiter>,
    audit: web::Data<Audit>,
) -> actix_web::Result<HttpResponse> {
    if SUSPICIOUS.iter().any(|part| request.path().contains(part)) {
        let scanner = limiter.ip_key(audit.note("suspicious request", &request)?);
        let banned = limiter.ban("door", &scanner, Duration::from_secs(86_400)).await;
        banned.map_err(ErrorInternalServerError)?;
    }
    Ok(HttpResponse::NotFound().finish())
}

/// Lists who is locked out, for the administrator.
async fn locked_out(limiter: web::Data<Limiter>) -> actix_web::Result<HttpResponse> {
    let page = limiter.bans("door", None, 100).await.map_err(ErrorInternalServerError)?;
    let addresses: Vec<_> = page.bans.iter().map(|banned| banned.key.address()).collect();
    Ok(HttpResponse::Ok().json(addresses))
}

async fn unlock(
    limiter: web::Data<Limiter>,
    address: web::Path<IpAddr>,
) -> actix_web::Result<HttpResponse> {
    let unlocked = limiter.unban("door", &limiter.ip_key(*address)).await;
    unlocked.map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::NoContent().finish())
}

fn refused(request: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
    if let Some(audit) = request.app_data::<web::Data<Audit>>() {
        // Whose address cannot be found is refused without an entry.
        let _ = audit.note("refused request", request.request());
    }
    let error = match refusal.kind() {
        RefusalKind::Banned => "LockedOut",
        RefusalKind::Limited => "TooManyRequests",
        _ => "Unavailable",
    };
    let until = refusal.banned_until().map(|until| until.to_string());
    HttpResponse::build(Refused(refusal.clone()).status_code())
        .json(json!({ "error": error, "policy": refusal.policy(), "until": until }))
}

macro_rules! provider {
    ($limiter:expr, $audit:expr) => {{
        let limit = |name: &str| {
            let policy = $limiter.policy(name).expect("it is configured");
            RateLimit::new(policy).on_refusal(refused)
        };
        let app = App::new()
            .app_data(web::Data::new($limiter.clone()))
            .app_data($audit.clone())
            .wrap(limit("door"))
            .service(web::resource("/login").wrap(limit("login")).route(web::post().to(login)))
            .route("/account", web::get().to(HttpResponse::Ok))
            .route("/locked-out", web::get().to(locked_out))
            .route("/locked-out/{address}", web::delete().to(unlock))
            .default_service(web::to(not_found));
        test::init_service(app).await
    }};
}

/// A request that the proxy passes on for a client.
fn passed_on(request: TestRequest, client: &'static str) -> TestRequest {
    request.peer_addr(peer("10.0.0.1")).insert_header(("x-forwarded-for", client))
}

fn try_login(client: &'static str, password: &'static str) -> TestRequest {
    passed_on(TestRequest::post().uri("/login"), client).set_payload(password)
}

fn account(client: &'static str) -> TestRequest {
    passed_on(TestRequest::with_uri("/account"), client)
}

#[actix_web::test]
async fn failed_logins_ban_for_longer_each_time() {
    let (setup, audit) = (Setup::of_toml(CONFIG).await, web::Data::new(Audit::default()));
    let provider = provider!(setup.limiter, audit);
    let bans = [(60, "2023-11-14T22:14:20Z"), (600, "2023-11-14T22:24:20Z")];
    for (seconds, until) in bans {
        for _ in 0..5 {
            let reply = send(&provider, try_login("2001:db8::7", "guess").to_request()).await;
            assert_eq!(reply.status, 401);
        }
        // The network's other hosts and all other paths are shut as well.
        let refused = send(&provider, account("2001:db8::8").to_request()).await;
        let body = json!({ "error": "LockedOut", "policy": "door", "until": until });
        assert_eq!((refused.status, refused.json()), (403, body));
        assert_eq!(send(&provider, account("2001:db8:1::7").to_request()).await.status, 200);
        setup.clock.advance(Duration::from_secs(seconds));
        assert_eq!(send(&provider, account("2001:db8::7").to_request()).await.status, 200);
    }
    // The log has the hosts, and not the network that is counted.
    let mut once = vec!["failed login from 2001:db8::7"; 5];
    once.push("refused request from 2001:db8::8");
    assert_eq!(*audit.0.lock().unwrap(), [once.clone(), once].concat());
}

#[actix_web::test]
async fn a_login_that_succeeds_forgives_the_failures_before() {
    let (setup, audit) = (Setup::of_toml(CONFIG).await, web::Data::new(Audit::default()));
    let provider = provider!(setup.limiter, audit);
    for _ in 0..3 {
        for _ in 0..4 {
            let reply = send(&provider, try_login("203.0.113.1", "guess").to_request()).await;
            assert_eq!(reply.status, 401);
        }
        let right = try_login("203.0.113.1", "correct horse");
        assert_eq!(send(&provider, right.to_request()).await.status, 200);
    }
}

#[actix_web::test]
async fn scanners_are_locked_out_and_the_administrator_unlocks() {
    let (setup, audit) = (Setup::of_toml(CONFIG).await, web::Data::new(Audit::default()));
    let provider = provider!(setup.limiter, audit);
    let scan = passed_on(TestRequest::with_uri("/backup/.env"), "203.0.113.9");
    let missing = passed_on(TestRequest::with_uri("/favicon.ico"), "203.0.113.1");
    assert_eq!(send(&provider, missing.to_request()).await.status, 404);
    assert_eq!(send(&provider, scan.to_request()).await.status, 404);
    assert_eq!(*audit.0.lock().unwrap(), ["suspicious request from 203.0.113.9"]);
    assert_eq!(send(&provider, account("203.0.113.9").to_request()).await.status, 403);

    let list = passed_on(TestRequest::with_uri("/locked-out"), "203.0.113.1");
    assert_eq!(send(&provider, list.to_request()).await.json(), json!(["203.0.113.9"]));
    let unlock = TestRequest::delete().uri("/locked-out/203.0.113.9");
    let unlock = passed_on(unlock, "203.0.113.1");
    assert_eq!(send(&provider, unlock.to_request()).await.status, 204);
    assert_eq!(send(&provider, account("203.0.113.9").to_request()).await.status, 200);
}

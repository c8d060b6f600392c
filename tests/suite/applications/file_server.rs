//! A file server, in actix-web: wrong guesses at its Basic authentication ban, uploads are
//! charged by their bytes, and downloads have a budget of bytes.

use std::time::Duration;

use actix_web::{
    App, Error, HttpResponse, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, CONTENT_LENGTH, WWW_AUTHENTICATE},
    middleware::{Next, from_fn},
    test,
    test::TestRequest,
    web,
};
use limiter_actix::{
    Decision, RateLimit, RateLimited, Refusal, Refused, Retry, permit, refusal_response,
};

use super::{Setup, peer, send};

/// The quotas of `uploads` and `downloads` are kilobytes.
const CONFIG: &str = r#"
[policies.login]
quota = "1000/minute"
ban = { threshold = 3, window = "10m", duration = "10m", refusals = false, statuses = [403] }

[policies.uploads]
quota = "100/hour"

[policies.downloads]
quota = "100/hour"
"#;

/// The status that stands for a wrong guess in the ban rule. The response is 401, as to a
/// browser that has sent no password yet.
const WRONG_GUESS: u16 = 403;

fn kilobytes(bytes: usize) -> u64 {
    bytes.div_ceil(1024) as u64
}

/// The authentication, inside of the limit for guesses.
async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match request.headers().get(AUTHORIZATION).map(|value| value.as_bytes()) {
        Some(b"Basic YWxpY2U6c2VjcmV0") => {
            return Ok(next.call(request).await?.map_into_left_body());
        }
        Some(_) => {
            let permit = permit(request.request());
            if let Some(permit) = permit {
                permit.record_response(WRONG_GUESS).await;
            }
        }
        None => {}
    }
    let challenge = (WWW_AUTHENTICATE, "Basic realm=\"files\"");
    let response = HttpResponse::Unauthorized().insert_header(challenge).finish();
    Ok(request.into_response(response).map_into_right_body())
}

/// Returns the kilobytes that a request announces; 1 if it announces nothing.
fn announced(request: &ServiceRequest) -> u64 {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).map_or(1, kilobytes)
}

/// Charges what has come, which a client that sends in chunks has not announced.
async fn upload(limited: RateLimited, file: web::Bytes) -> HttpResponse {
    if let Some(permit) = limited.permit() {
        permit.charge_to(kilobytes(file.len())).await;
    }
    HttpResponse::Created().finish()
}

/// Charges the file that is sent, also beyond the budget: the next download waits.
async fn download(limited: RateLimited) -> HttpResponse {
    let file = vec![0; 80 * 1024];
    if let Some(permit) = limited.permit() {
        permit.charge_to(kilobytes(file.len())).await;
    }
    HttpResponse::Ok().body(file)
}

fn over_budget(_: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
    match refusal.decision().map(Decision::retry) {
        Some(Retry::Never) => HttpResponse::PayloadTooLarge().body("More than an hour's budget."),
        Some(Retry::After(wait)) => HttpResponse::build(Refused(refusal.clone()).status_code())
            .body(format!("Come back in {} s.", wait.as_secs())),
        _ => refusal_response(refusal),
    }
}

macro_rules! files {
    ($limiter:expr) => {{
        let limit = |name: &str| RateLimit::new($limiter.policy(name).expect("it is configured"));
        let uploads = limit("uploads").cost(announced).on_refusal(over_budget);
        let downloads = limit("downloads").on_refusal(over_budget);
        let app = App::new()
            .wrap(from_fn(authenticate))
            .wrap(limit("login"))
            .service(web::resource("/upload").wrap(uploads).route(web::put().to(upload)))
            .service(web::resource("/file").wrap(downloads).route(web::get().to(download)));
        test::init_service(app).await
    }};
}

/// Returns a request with the right password.
fn authenticated(request: TestRequest) -> TestRequest {
    let right = (AUTHORIZATION, "Basic YWxpY2U6c2VjcmV0");
    request.insert_header(right).peer_addr(peer("192.0.2.1"))
}

#[actix_web::test]
async fn wrong_guesses_ban_and_questions_for_the_password_do_not() {
    let setup = Setup::of_toml(CONFIG).await;
    let files = files!(setup.limiter);
    let without = || TestRequest::with_uri("/file").peer_addr(peer("192.0.2.1"));
    for _ in 0..20 {
        assert_eq!(send(&files, without().to_request()).await.status, 401);
    }
    let guess = || without().insert_header((AUTHORIZATION, "Basic Z3Vlc3M6"));
    for _ in 0..3 {
        assert_eq!(send(&files, guess().to_request()).await.status, 401);
    }
    let right = || authenticated(TestRequest::with_uri("/file"));
    assert_eq!(send(&files, right().to_request()).await.status, 403);
    let other = right().peer_addr(peer("192.0.2.2"));
    assert_eq!(send(&files, other.to_request()).await.status, 200);
    setup.clock.advance(Duration::from_secs(600));
    assert_eq!(send(&files, right().to_request()).await.status, 200);
}

#[actix_web::test]
async fn uploads_are_charged_by_their_bytes() {
    let setup = Setup::of_toml(CONFIG).await;
    let files = files!(setup.limiter);
    let upload = |kilobytes: usize, is_announced: bool| {
        let file = vec![0_u8; kilobytes * 1024];
        let request = authenticated(TestRequest::put().uri("/upload"));
        let request = match is_announced {
            true => request.insert_header((CONTENT_LENGTH, file.len())),
            false => request,
        };
        request.set_payload(file).to_request()
    };
    assert_eq!(send(&files, upload(60, true)).await.status, 201);
    // 20 of them are back after 12 minutes.
    let refused = send(&files, upload(60, true)).await;
    assert_eq!((refused.status, refused.body.as_str()), (429, "Come back in 720 s."));
    setup.clock.advance(Duration::from_secs(720));
    assert_eq!(send(&files, upload(60, false)).await.status, 201);
    let refused = send(&files, upload(1, false)).await;
    assert_eq!((refused.status, refused.body.as_str()), (429, "Come back in 36 s."));
    assert_eq!(send(&files, upload(101, true)).await.status, 413);
}

#[actix_web::test]
async fn downloads_have_a_budget_of_bytes() {
    let setup = Setup::of_toml(CONFIG).await;
    let files = files!(setup.limiter);
    let download = || authenticated(TestRequest::with_uri("/file")).to_request();
    let statuses = [send(&files, download()).await.status, send(&files, download()).await.status];
    assert_eq!(statuses, [200, 200]);
    // The second one has overdrawn it by 60 kilobytes, and the third one needs room for one.
    let refused = send(&files, download()).await;
    assert_eq!((refused.status, refused.body.as_str()), (429, "Come back in 2196 s."));
    setup.clock.advance(Duration::from_secs(2196));
    assert_eq!(send(&files, download()).await.status, 200);
}

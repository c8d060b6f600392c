//! The server of a password manager, in Rocket behind a proxy: logins are limited by address,
//! codes of the second factor by account, and guesses at the administrator's token by address,
//! though the response to a wrong one looks as that to the right one. Errors are of its own form.

use std::time::Duration;

use limiter_rocket::{Key, Limiter, Permit, RateLimited, Retry, policy, refusal};
use rocket::{
    FromForm, Request, State, catch, catchers,
    form::Form,
    http::{ContentType, Header, Status},
    local::asynchronous::Client,
    post,
    response::Redirect,
    routes,
};
use serde_json::json;

use super::{Setup, peer};
use crate::{contract::Reply, rocket_app::reply};

const CONFIG: &str = r#"
trusted_proxies = ["10.0.0.0/8"]
client_ip_header = "x-real-ip"

[policies.login]
quota = "1/minute burst 10"
headers = "none"

[policies.second-factor]
quota = "3/10m"
headers = "none"

[policies.admin]
quota = "1/5m burst 3"
count_only = [401]
headers = "none"
"#;

policy!(LoginLimit = "login");
policy!(AdminLimit = "admin");

/// The status that stands for a wrong token in the policy `admin`.
const WRONG_TOKEN: u16 = 401;

type Answer = (Status, (ContentType, String));

/// Returns the server's form of an error.
fn error(status: Status, message: &str, wait: Option<Duration>) -> Answer {
    let wait = wait.map(|wait| wait.as_secs());
    let body = json!({ "object": "error", "message": message, "retryAfterSeconds": wait });
    (status, (ContentType::JSON, body.to_string()))
}

#[catch(429)]
fn too_many(request: &Request<'_>) -> Answer {
    let wait = refusal(request).and_then(|refusal| refusal.retry_after());
    error(Status::TooManyRequests, "Too many requests", wait)
}

#[derive(FromForm)]
struct Login<'r> {
    account: &'r str,
    password: &'r str,
    code: Option<&'r str>,
}

#[post("/login", data = "<login>")]
async fn log_in(
    limit: RateLimited<LoginLimit>,
    login: Form<Login<'_>>,
    limiter: &State<Limiter>,
) -> Answer {
    if login.password != "correct horse" {
        let address = limit.permit().and_then(Permit::client_ip);
        let address = address.map_or_else(String::new, |address| address.to_string());
        return error(Status::BadRequest, &format!("Wrong password. IP: {address}."), None);
    }
    let Some(code) = login.code else {
        return error(Status::BadRequest, "Two factor required.", None);
    };
    let account = Key::custom("account", login.account);
    let second_factor = limiter.policy("second-factor").expect("it is configured");
    // Each code is charged before it is looked at, so that many at once are as many in a row.
    match second_factor.check(&second_factor.subjects_of(&account), 1).await {
        Ok(decision) => match decision.retry() {
            Retry::Now => {}
            Retry::After(wait) => {
                return error(Status::TooManyRequests, "Too many codes", Some(wait));
            }
            _ => return error(Status::TooManyRequests, "Too many codes", None),
        },
        Err(_) => return error(Status::ServiceUnavailable, "Try again", None),
    }
    if code != "123456" {
        return error(Status::BadRequest, "Wrong code.", None);
    }
    // If the store fails, the guesses before still count.
    let _ = limiter.reset("second-factor", &account).await;
    (Status::Ok, (ContentType::JSON, json!({ "access_token": "..." }).to_string()))
}

#[post("/admin", data = "<token>")]
async fn admin(limit: RateLimited<AdminLimit>, token: &str) -> Redirect {
    if token != "token of the administrator"
        && let Some(permit) = limit.permit()
    {
        permit.record_response(WRONG_TOKEN).await;
    }
    Redirect::to("/admin")
}

async fn server(setup: &Setup) -> Client {
    let server = super::rocket(&setup.limiter)
        .mount("/", routes![log_in, admin])
        .register("/", catchers![too_many]);
    Client::untracked(server).await.expect("it launches")
}

/// Sends a request that the proxy passes on for a client.
async fn post(server: &Client, from: &'static str, path: &'static str, body: String) -> Reply {
    let request = server.post(path).header(ContentType::Form).body(body);
    let request = request.remote(peer("10.0.0.1")).header(Header::new("x-real-ip", from));
    reply(request.dispatch().await).await
}

fn form(password: &str, code: &str) -> String {
    format!("account=alice&password={password}&code={code}")
}

#[rocket::async_test]
async fn logins_are_limited_by_address() {
    let setup = Setup::of_toml(CONFIG).await;
    let server = server(&setup).await;
    let guess =
        async |from| post(&server, from, "/login", "account=alice&password=guess".into()).await;
    for _ in 0..10 {
        let reply = guess("203.0.113.1").await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.json()["message"], "Wrong password. IP: 203.0.113.1.");
    }
    let refused = guess("203.0.113.1").await;
    let body = json!({
        "object": "error",
        "message": "Too many requests",
        "retryAfterSeconds": 60,
    });
    assert_eq!((refused.status, refused.json()), (429, body));
    assert_eq!(guess("203.0.113.2").await.status, 400);
    setup.clock.advance(Duration::from_secs(60));
    assert_eq!([guess("203.0.113.1").await.status, guess("203.0.113.1").await.status], [400, 429]);
}

#[rocket::async_test]
async fn codes_are_limited_by_account() {
    let setup = Setup::of_toml(CONFIG).await;
    let server = server(&setup).await;
    let addresses = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    let [first, second, third, fourth] = addresses;
    let log_in =
        async |from, code| post(&server, from, "/login", form("correct+horse", code)).await;
    // A wrong password is no guess at the code, and a right code forgives the wrong ones.
    for _ in 0..2 {
        assert_eq!(post(&server, first, "/login", form("guess", "1")).await.status, 400);
        assert_eq!(log_in(second, "1").await.status, 400);
        assert_eq!(log_in(third, "2").await.status, 400);
        assert_eq!(log_in(fourth, "123456").await.status, 200);
    }
    for from in [second, third, fourth] {
        assert_eq!(log_in(from, "3").await.json()["message"], "Wrong code.");
    }
    let refused = log_in(first, "123456").await;
    assert_eq!((refused.status, &refused.json()["retryAfterSeconds"]), (429, &json!(200)));
    setup.clock.advance(Duration::from_secs(200));
    assert_eq!(log_in(first, "123456").await.status, 200);
}

#[rocket::async_test]
async fn guesses_at_the_token_count_though_the_response_does_not_tell() {
    let setup = Setup::of_toml(CONFIG).await;
    let server = server(&setup).await;
    let try_token =
        async |token: &str| post(&server, "203.0.113.1", "/admin", token.to_owned()).await.status;
    for _ in 0..10 {
        assert_eq!(try_token("token of the administrator").await, 303);
    }
    for status in [303, 303, 303, 429] {
        assert_eq!(try_token("guess").await, status);
    }
    assert_eq!(try_token("token of the administrator").await, 429);
}

//! The backend of a chat, in Rocket: buckets by route and method, counted by user, else by
//! address; those of messages by channel as well. Each response shows its bucket in fields of
//! the application's own, and a refusal is `{"retry_after": <milliseconds>}`.

use std::time::Duration;

use limiter_rocket::{Decision, Key, Policies, RateLimited, permit, refusal, set_user};
use rocket::{
    Request, Response, catch, catchers,
    fairing::{Fairing, Info, Kind},
    get,
    http::{ContentType, Header, Method, Status},
    local::asynchronous::{Client, LocalRequest},
    post,
    request::{FromRequest, Outcome},
    routes,
};
use serde_json::json;

use super::{Setup, peer};
use crate::{contract::Reply, rocket_app::reply};

const CONFIG: &str = r#"
[policies]
any = { quota = "20/10s", key = "user", algorithm = "fixed_window", headers = "none" }
auth = { quota = "3/10s", key = "user", algorithm = "fixed_window", headers = "none" }
messaging = { quota = "10/10s", key = "user", algorithm = "fixed_window", headers = "none" }
"#;

/// A user, by the token of a session.
struct User(&'static str);

impl User {
    fn of<'r>(request: &'r Request<'_>) -> Option<&'r Self> {
        let user = request.local_cache(|| match request.headers().get_one("x-session-token") {
            Some("token-of-alice") => Some(Self("alice")),
            Some("token-of-bob") => Some(Self("bob")),
            _ => None,
        });
        user.as_ref()
    }
}

/// The session of a request, which may have none. It stands before the limit.
struct Session;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Session {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        if let Some(User(name)) = User::of(request) {
            set_user(request, name);
        }
        Outcome::Success(Self)
    }
}

/// The bucket of a request.
struct Bucket;

impl Policies for Bucket {
    const NAMES: &'static [&'static str] = &["any", "auth", "messaging"];

    fn choose(request: &Request<'_>) -> &'static [&'static str] {
        let path: Vec<_> = request.uri().path().segments().collect();
        match (request.method(), path.as_slice()) {
            (_, ["auth", ..]) => &["auth"],
            (Method::Post, ["channels", _, "messages"]) => &["messaging"],
            _ => &["any"],
        }
    }

    fn key(request: &Request<'_>) -> Option<Key> {
        let path: Vec<_> = request.uri().path().segments().collect();
        match (request.method(), path.as_slice(), User::of(request)) {
            (Method::Post, ["channels", channel, "messages"], Some(User(name))) => {
                Some(Key::user(name).and(Key::custom("channel", channel)))
            }
            _ => None,
        }
    }
}

#[post("/auth/login")]
fn log_in(_session: Session, _limit: RateLimited<Bucket>) -> Status {
    Status::NoContent
}

#[get("/channels/<_>/messages")]
fn messages(_session: Session, _limit: RateLimited<Bucket>) -> Status {
    Status::NoContent
}

#[post("/channels/<_>/messages")]
fn send_message(_session: Session, _limit: RateLimited<Bucket>) -> Status {
    Status::NoContent
}

#[catch(429)]
fn too_many(request: &Request<'_>) -> (ContentType, String) {
    let wait = refusal(request).and_then(|refusal| refusal.retry_after());
    let wait = wait.map(|wait| wait.as_millis() as u64);
    (ContentType::JSON, json!({ "retry_after": wait }).to_string())
}

/// Writes the fields of the bucket, for admitted and refused requests.
struct BucketFields;

#[rocket::async_trait]
impl Fairing for BucketFields {
    fn info(&self) -> Info {
        Info { name: "Fields of the bucket", kind: Kind::Response }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let (refusal, permit) = (refusal(request), permit(request));
        let (decision, bucket) = match (&refusal, &permit) {
            (Some(refusal), _) => (refusal.decision(), refusal.policy()),
            (None, Some(permit)) => {
                let bucket = permit.keys().next().map(|(policy, _)| policy.name());
                (Some(permit.decision()), bucket)
            }
            (None, None) => return,
        };
        if let (Some(quota), Some(bucket)) = (decision.and_then(Decision::tightest), bucket) {
            let reset = quota.reset_after().as_millis();
            response.set_raw_header("X-RateLimit-Limit", quota.limit().to_string());
            response.set_raw_header("X-RateLimit-Bucket", bucket.to_owned());
            response.set_raw_header("X-RateLimit-Remaining", quota.remaining().to_string());
            response.set_raw_header("X-RateLimit-Reset-After", reset.to_string());
        }
    }
}

async fn backend(setup: &Setup) -> Client {
    let backend = super::rocket(&setup.limiter)
        .attach(BucketFields)
        .mount("/", routes![log_in, messages, send_message])
        .register("/", catchers![too_many]);
    Client::untracked(backend).await.expect("it launches")
}

/// Sends a request with the session of a user.
async fn send(request: LocalRequest<'_>, token: &'static str) -> Reply {
    let request = request.header(Header::new("x-session-token", token));
    reply(request.remote(peer("192.0.2.1")).dispatch().await).await
}

/// Returns the fields of the bucket: its name, limit, what is left, and when it begins anew.
fn fields(reply: &Reply) -> [&str; 4] {
    ["bucket", "limit", "remaining", "reset-after"]
        .map(|name| reply.headers.get(&format!("x-ratelimit-{name}")).map_or("", String::as_str))
}

#[rocket::async_test]
async fn messages_are_limited_by_user_and_channel() {
    let setup = Setup::of_toml(CONFIG).await;
    let backend = backend(&setup).await;
    let write = async |channel: &str, token| {
        send(backend.post(format!("/channels/{channel}/messages")), token).await
    };
    for left in (0..10).rev() {
        let reply = write("general", "token-of-alice").await;
        assert_eq!(reply.status, 204);
        assert_eq!(fields(&reply), ["messaging", "10", left.to_string().as_str(), "10000"]);
    }
    setup.clock.advance(Duration::from_millis(2_500));
    let refused = write("general", "token-of-alice").await;
    assert_eq!((refused.status, refused.json()), (429, json!({ "retry_after": 7_500 })));
    assert_eq!(fields(&refused), ["messaging", "10", "0", "7500"]);

    let others = [("help", "token-of-alice"), ("general", "token-of-bob")];
    for (channel, token) in others {
        assert_eq!(fields(&write(channel, token).await)[2], "9", "{channel} {token}");
    }
    // To read is another bucket.
    let read = send(backend.get("/channels/general/messages"), "token-of-alice").await;
    assert_eq!(fields(&read), ["any", "20", "19", "10000"]);
    setup.clock.advance(Duration::from_millis(7_500));
    assert_eq!(write("general", "token-of-alice").await.status, 204);
}

#[rocket::async_test]
async fn who_has_no_session_is_counted_by_address() {
    let setup = Setup::of_toml(CONFIG).await;
    let backend = backend(&setup).await;
    for left in ["2", "1", "0"] {
        let reply = send(backend.post("/auth/login"), "made-up").await;
        assert_eq!(fields(&reply), ["auth", "3", left, "10000"]);
    }
    // Another token that nobody has issued is the same address.
    let refused = send(backend.post("/auth/login"), "made-up-as-well").await;
    assert_eq!((refused.status, refused.json()), (429, json!({ "retry_after": 10_000 })));
    let elsewhere = backend.post("/auth/login").remote(peer("192.0.2.2")).dispatch().await;
    assert_eq!(elsewhere.status(), Status::NoContent);
    assert_eq!(send(backend.post("/auth/login"), "token-of-alice").await.status, 204);
}

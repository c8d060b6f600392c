//! A server for single sign-on, in Rocket: the credential of an account is locked for a while
//! after a few wrong guesses, as many at once as in a row, and an address has a budget of
//! guesses over all accounts. Nothing that is not a guess counts.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use limiter_rocket::{Key, Limiter, Policies, RateLimited, Refused, policy, refusal};
use rocket::{
    Request, State, catch, catchers,
    futures::future::join_all,
    http::{ContentType, Status},
    local::asynchronous::Client,
    post, routes,
    tokio::time::sleep,
};
use serde_json::json;

use super::{Setup, peer};
use crate::{contract::Reply, rocket_app::reply};

/// A credential is locked for 20 seconds after three guesses, and for ten minutes after six.
const CONFIG: &str = r#"
[policies.credential]
quota = "3/minute; 6/hour"
count_only = [401]
headers = "none"

[policies.address]
quota = "10/minute"
count_only = [401]
headers = "none"
"#;

policy!(AddressBudget = "address");

/// The lock of the account that the path names.
struct CredentialLock;

impl Policies for CredentialLock {
    const NAMES: &'static [&'static str] = &["credential"];

    fn key(request: &Request<'_>) -> Option<Key> {
        let account = request.param::<&str>(1)?.ok()?;
        Some(Key::custom("account", &account.to_lowercase()))
    }
}

/// How many passwords were verified.
#[derive(Default)]
struct Verified(AtomicUsize);

type Answer = (Status, (ContentType, String));

fn denied(status: Status, reason: &str, wait: Option<Duration>) -> Answer {
    let wait = wait.map(|wait| wait.as_millis() as u64);
    (status, (ContentType::JSON, json!({ "denied": reason, "unlocks_in_ms": wait }).to_string()))
}

#[post("/auth/<account>", data = "<password>")]
async fn authenticate(
    budget: RateLimited<AddressBudget>,
    lock: Result<RateLimited<CredentialLock>, Refused>,
    account: &str,
    password: &str,
    limiter: &State<Limiter>,
    verified: &State<Verified>,
) -> Answer {
    let lock = match lock {
        Ok(lock) => lock,
        Err(refused) => {
            // It was no guess: the address gets its unit back.
            if let Some(permit) = budget.permit() {
                permit.charge_to(0).await;
            }
            let wait = refused.refusal().retry_after();
            return denied(refused.status(), "the account is locked", wait);
        }
    };
    verified.0.fetch_add(1, Ordering::Relaxed);
    // A hash that is slow on purpose: meanwhile the other guesses come.
    sleep(Duration::from_millis(20)).await;
    if password != "correct horse" {
        return denied(Status::Unauthorized, "wrong password", None);
    }
    for (policy, key) in lock.permit().into_iter().flat_map(|permit| permit.keys()) {
        // If the store fails, the guesses before still count.
        let _ = limiter.reset(policy.name(), key).await;
    }
    (Status::Ok, (ContentType::JSON, json!({ "welcome": account }).to_string()))
}

#[catch(429)]
fn too_many(request: &Request<'_>) -> Answer {
    let wait = refusal(request).and_then(|refusal| refusal.retry_after());
    denied(Status::TooManyRequests, "too many guesses from your address", wait)
}

async fn server(setup: &Setup) -> Client {
    let server = super::rocket(&setup.limiter)
        .manage(Verified::default())
        .mount("/", routes![authenticate])
        .register("/", catchers![too_many]);
    Client::untracked(server).await.expect("it launches")
}

fn verified(server: &Client) -> usize {
    server.rocket().state::<Verified>().expect("it is managed").0.load(Ordering::Relaxed)
}

async fn guess(server: &Client, from: &str, account: &str, password: &'static str) -> Reply {
    let request = server.post(format!("/auth/{account}")).remote(peer(from)).body(password);
    reply(request.dispatch().await).await
}

#[rocket::async_test]
async fn guesses_at_once_lock_an_account_as_guesses_in_a_row() {
    let setup = Setup::of_toml(CONFIG).await;
    let server = server(&setup).await;
    let addresses: Vec<_> = (1..=30).map(|host| format!("192.0.2.{host}")).collect();
    let guesses = addresses.iter().map(|from| guess(&server, from, "alice", "guess"));
    let mut statuses: Vec<_> = join_all(guesses).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!((&statuses[..3], &statuses[3..]), (&[401; 3][..], &[429; 27][..]));
    assert_eq!(verified(&server), 3);

    // The right password, and another spelling of the account, have to wait.
    let locked = guess(&server, "198.51.100.1", "Alice", "correct horse").await;
    let body = json!({ "denied": "the account is locked", "unlocks_in_ms": 20_000 });
    assert_eq!((locked.status, locked.json()), (429, body));
    assert_eq!(guess(&server, "198.51.100.1", "bob", "correct horse").await.status, 200);

    setup.clock.advance(Duration::from_secs(20));
    assert_eq!(guess(&server, "198.51.100.1", "alice", "correct horse").await.status, 200);
    // Unlocked, it has all of its guesses again.
    for status in [401, 401, 401, 429] {
        assert_eq!(guess(&server, "198.51.100.1", "alice", "guess").await.status, status);
    }
}

#[rocket::async_test]
async fn an_address_has_a_budget_of_guesses_over_all_accounts() {
    let setup = Setup::of_toml(CONFIG).await;
    let server = server(&setup).await;
    for status in [401, 401, 401, 429] {
        assert_eq!(guess(&server, "192.0.2.1", "alice", "guess").await.status, status);
    }
    // What a lock refuses is no guess, and neither is the right password.
    for _ in 0..20 {
        assert_eq!(guess(&server, "192.0.2.1", "alice", "guess").await.status, 429);
        assert_eq!(guess(&server, "192.0.2.1", "bob", "correct horse").await.status, 200);
    }
    let accounts: Vec<_> = (0..20).map(|account| format!("account-{account}")).collect();
    let before = verified(&server);
    let guesses = accounts.iter().map(|account| guess(&server, "192.0.2.1", account, "guess"));
    let replies = join_all(guesses).await;
    assert_eq!(verified(&server) - before, 7);
    let refused = replies.iter().find(|reply| reply.status == 429).expect("13 are");
    let body = json!({ "denied": "too many guesses from your address", "unlocks_in_ms": 6_000 });
    assert_eq!(refused.json(), body);
    assert_eq!(guess(&server, "192.0.2.2", "account-19", "guess").await.status, 401);
}

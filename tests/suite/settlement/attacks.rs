//! Wrong passwords that are sent at once: no more of them reach the handler than if they
//! were sent in a row.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpResponse, test, web};
use futures_util::future::join_all;
use limiter_actix::RateLimit;
use limiter_core::{Limiter, MemoryStore, OnStoreError, Policy, Store};
use limiter_rocket::{RateLimitFairing, RateLimited, policy};
use rocket::{State, http::Status, local::asynchronous::Client, post, routes};

use super::{limiter, reserving};
use crate::databases::{builder, cluster_url, postgres_url, redis_url, unique};

/// How many wrong passwords are sent at once.
const GUESSES: usize = 200;

policy!(Login = "login");

/// The outcomes of the guesses of one attack.
#[derive(Debug, Default)]
struct Attack {
    /// Guesses that reached the handler.
    handled: u64,
    statuses: Vec<u16>,
}

impl Attack {
    fn of(&self, status: u16) -> usize {
        self.statuses.iter().filter(|own| **own == status).count()
    }
}

async fn wrong_password(handled: web::Data<AtomicU64>) -> HttpResponse {
    handled.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    HttpResponse::Unauthorized().finish()
}

async fn attack_actix(limiter: &Limiter) -> Attack {
    let handled = web::Data::new(AtomicU64::new(0));
    let limit = RateLimit::new(limiter.policy("login").unwrap());
    let app = App::new().app_data(handled.clone()).wrap(limit);
    let service = test::init_service(app.route("/", web::post().to(wrong_password))).await;
    let guess = async || {
        let request = test::TestRequest::post().peer_addr("192.0.2.1:5000".parse().unwrap());
        test::call_service(&service, request.to_request()).await.status().as_u16()
    };
    let statuses = join_all((0..GUESSES).map(|_| guess())).await;
    Attack { handled: handled.load(Ordering::Relaxed), statuses }
}

#[post("/")]
async fn wrong_password_in_rocket(
    _limit: RateLimited<Login>,
    handled: &State<Arc<AtomicU64>>,
) -> Status {
    handled.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    Status::Unauthorized
}

async fn attack_rocket(limiter: &Limiter) -> Attack {
    let handled = Arc::new(AtomicU64::new(0));
    let config = rocket::Config { log_level: rocket::config::LogLevel::Off, ..Default::default() };
    let rocket = rocket::custom(config)
        .attach(RateLimitFairing::new(limiter.clone()))
        .manage(Arc::clone(&handled))
        .mount("/", routes![wrong_password_in_rocket]);
    let client = Client::tracked(rocket).await.unwrap();
    let guess = async || {
        let request = client.post("/").remote(([192, 0, 2, 1], 5000).into());
        request.dispatch().await.status().code
    };
    let statuses = join_all((0..GUESSES).map(|_| guess())).await;
    Attack { handled: handled.load(Ordering::Relaxed), statuses }
}

fn policy_of(quota: &str) -> Policy {
    // What the store cannot decide is refused, so that a slow one lets nobody pass.
    Policy::new("login", quota).unwrap().with_on_store_error(OnStoreError::Deny)
}

async fn shared(url: &str) -> impl Store {
    builder(url, &unique("attack")).connect().await.unwrap()
}

/// `5/minute` of wrong passwords alone.
async fn five_wrong_passwords_a_minute<S: Store>(make: impl AsyncFn() -> S) {
    let policy = policy_of("5/hour").with_count_only([401]).unwrap();
    for attack in [
        attack_actix(&limiter(make().await, policy.clone()).await).await,
        attack_rocket(&limiter(make().await, policy.clone()).await).await,
    ] {
        assert_eq!((attack.handled, attack.of(401), attack.of(429)), (5, 5, GUESSES - 5));
    }
}

/// Five strikes ban.
async fn five_wrong_passwords_ban<S: Store>(make: impl AsyncFn() -> S) {
    let policy = policy_of("1000/hour").with_ban(reserving(5));
    let limiters =
        [limiter(make().await, policy.clone()).await, limiter(make().await, policy.clone()).await];
    let attacks = [attack_actix(&limiters[0]).await, attack_rocket(&limiters[1]).await];
    for (limiter, attack) in limiters.iter().zip(attacks) {
        assert_eq!((attack.handled, attack.of(401), attack.of(429)), (5, 5, GUESSES - 5));
        let key = limiter.ip_key([192, 0, 2, 1].into());
        assert!(limiter.banned("login", &key).await.unwrap().is_some());
    }
    let after = attack_actix(&limiters[0]).await;
    // The refusals of the second before may answer in place of the ban.
    assert_eq!((after.handled, after.of(403) + after.of(429)), (0, GUESSES));
}

macro_rules! on_stores {
    ($($name:ident: $store:expr,)+) => {
        $(
            mod $name {
                use super::*;

                #[actix_web::test]
                async fn at_most_five_wrong_passwords_are_handled() {
                    five_wrong_passwords_a_minute(async || $store).await;
                }

                #[actix_web::test]
                async fn at_most_five_wrong_passwords_are_handled_and_then_banned() {
                    five_wrong_passwords_ban(async || $store).await;
                }
            }
        )+
    };
}

on_stores! {
    memory: MemoryStore::new(),
    redis: shared(redis_url()).await,
    a_cluster: shared(cluster_url()).await,
    postgres: shared(postgres_url()).await,
}

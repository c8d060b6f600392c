//! Seven kinds of applications, each a model of how it limits, in the framework that it is
//! written in. The numbers of a refusal and the client that was counted are those of the
//! adapters' public API: nothing is read back from limiter's own header fields and bodies.

mod chat_backend;
mod file_server;
mod identity_provider;
mod link_aggregator;
mod mod_portal;
mod password_manager;
mod single_sign_on;

use std::net::SocketAddr;

use actix_web::{
    body::MessageBody,
    dev::{Service, ServiceResponse},
    test::call_service,
};
use limiter_core::{Config, Limiter, LimiterBuilder, ManualClock, MemoryStore};
use limiter_rocket::RateLimitFairing;
use rocket::{Build, Rocket, config::LogLevel};
use serde_json::Value;

use crate::{conformance::clock, contract::Reply};

/// The limiter of an application, and the clock that its store goes by.
struct Setup {
    limiter: Limiter,
    clock: ManualClock,
}

impl Setup {
    async fn of_toml(text: &str) -> Self {
        Self::of(Config::from_toml(text).expect("the application's configuration is one")).await
    }

    async fn of(config: Config) -> Self {
        let clock = clock();
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let limiter = LimiterBuilder::from_config(config).store(store).build().await;
        Self { limiter: limiter.expect("the application's limits fit together"), clock }
    }
}

/// Returns Rocket with a limiter; it prints nothing.
fn rocket(limiter: &Limiter) -> Rocket<Build> {
    let config = rocket::Config { log_level: LogLevel::Off, ..rocket::Config::default() };
    rocket::custom(config).attach(RateLimitFairing::new(limiter.clone()))
}

impl Reply {
    /// Returns a header field; "" if there is none.
    fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the body, which is JSON.
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Returns the other end of a connection from that address.
fn peer(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().expect("it is an address"), 5000)
}

/// Sends a request to a service of actix-web, and reads the response.
async fn send<S, R, B>(service: &S, request: R) -> Reply
where
    S: Service<R, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    crate::actix::reply(call_service(service, request).await).await
}

//! Rate limiting and auto-ban for Rocket 0.5. The manual, from quotas to operation, is
//! [`limiter_core::guide`]; recipes with their code are in the [`cookbook`]. This page has what
//! is special to Rocket.
//!
//! The [fairing](RateLimitFairing) reads `[default.limiter]` of Rocket.toml;
//! a [`RateLimited`] guard enforces a policy of it on a route:
//!
//! ```
//! use limiter_rocket::{RateLimitFairing, RateLimited, policy};
//! use rocket::{get, http::Status, local::blocking::Client, post, routes};
//!
//! #[get("/hello")]
//! fn hello(_limit: RateLimited) -> &'static str {
//!     "hello" // by the policy "default"
//! }
//!
//! policy!(Login = "login");
//!
//! #[post("/login")]
//! fn login(_limit: RateLimited<Login>) -> Status {
//!     Status::Unauthorized
//! }
//!
//! // Instead of a Rocket.toml, for this example:
//! let figment = rocket::Config::figment()
//!     .merge(("limiter.policies.default.quota", "10/minute"))
//!     .merge(("limiter.policies.login.quota", "2/minute"))
//!     .merge(("limiter.policies.login.headers", "none"))
//!     .merge(("limiter.fallback_address", "127.0.0.1"));
//!
//! let rocket = rocket::custom(figment)
//!     .attach(RateLimitFairing::from_config())
//!     .mount("/", routes![hello, login]);
//!
//! let client = Client::tracked(rocket)?;
//! let response = client.get("/hello").dispatch();
//! assert_eq!(response.headers().get_one("ratelimit"), Some(r#""default";r=9;t=54"#));
//! for status in [Status::Unauthorized, Status::Unauthorized, Status::TooManyRequests] {
//!     assert_eq!(client.post("/login").dispatch().status(), status);
//! }
//! # Ok::<(), rocket::Error>(())
//! ```
//!
//! # What is enforced
//! Each guard of a route, and each policy of a guard. A route that names a
//! policy that is not configured, or that is mounted without the fairing, stops
//! the launch, also where the guard hides in an `Option` or behind an alias.
//!
//! Guards run in the order of a route's parameters: put the one that finds the
//! user before a limit that counts by `"user"` (see [`set_user`]), and the
//! limit before guards that cost something.
//!
//! `Option<RateLimited>` does not make a refusal a permission: the handler
//! runs, since Rocket gives a guard no way to forbid that, but the client gets
//! the refusal and not what the handler answered.
//!
//! Rocket has no limit of a mount point: a policy of all requests is enforced [before
//! routing](RateLimitFairing::before_routing), one of some routes by a guard in each. In a
//! test a request needs an address, `request.remote("192.0.2.1:5000".parse()?)`, or the
//! configuration `fallback_address = "127.0.0.1"`.
//!
//! # What is counted once, and what apart
//! Policies of one guard (`policy!(Api = ["burst", "daily"])`) are decided
//! together: a refusal by one charges none. Several guards are independent: a
//! later refusal does not give back what an earlier one charged. A policy that
//! one request meets twice for the same key, as after a forward, is charged
//! once, at the highest cost. A CORS preflight counts apart, under the same
//! quotas.
//!
//! # Answers
//! A refusal is answered by the catcher that the application has for its status:
//! 403, 429 or 503, and 400 or 500 where a request could not be counted. Where it
//! has neither that nor a default catcher, the answer is a problem document. A
//! catcher chooses status and body, and may look at the [`refusal`]; `RateLimit`
//! and `Retry-After` are added to its answer. A handler that takes
//! `Result<RateLimited, Refused>` and looks at the [`Refused`] answers for
//! itself in the same way. (403 or 429 for banned clients is configuration.)
//!
//! Rocket drops header lines that are not UTF-8: one that only a client could have
//! written so counts as missing, and is answered with 400 where
//! `client_ip_header_required` is on. Health checks of a proxy, which have no such
//! header, pass where its address is on `allow`.
//!
//! Rocket itself prints two lines for each request that a guard has refused, at the
//! level `warn`, which `log_level = "critical"` has, too: that the guard has failed, and
//! which catcher answers. `log_level = "off"` leaves them out; the policy before routing
//! refuses without the first of them.
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `memory` | yes | state in this process |
//! | `config` | yes | the configuration: `[default.limiter]` of Rocket.toml |
//! | `log` | yes | events also for loggers of the crate `log`; they are `tracing` events |
//! | `metrics` | | numbers for Prometheus and others, by the facade `metrics` |
//! | `redis` | | Redis and Valkey: one server, Sentinel, Cluster |
//! | `postgres`, `mysql`, `sqlite` | | PostgreSQL; MySQL and MariaDB; SQLite, compiled in |
//! | `tls` | | TLS to a store |
//! | `utoipa` | | the responses of a [`Refusal`] in OpenAPI documents: `responses(Refusal)` |
//! | `rocket_okapi` | | the same by `rocket_okapi`: a [`RateLimited`] guard documents them |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admit;
mod answer_refusal;
mod catch_all_route;
#[cfg(feature = "config")]
mod configuration;
pub mod cookbook;
mod fairing;
mod guard;
mod guard_policies;
mod launch_check;
mod limiter_state;
mod lingering_close;
#[cfg(feature = "rocket_okapi")]
mod openapi;
mod refusal_responder;
mod request;
mod request_state;

pub use limiter_core;
#[cfg(feature = "config")]
pub use limiter_core::Config;
pub use limiter_core::{
    AdmitOptions, Algorithm, Ban, BanAnswer, BanPage, BanRule, ClientIp, Clock, ConfigError,
    ConfigErrorKind, Decision, Error, Event, Exemptions, Explanation, HeaderStyle, HeaderStyles,
    Health, Key, KeyPart, KeySpec, Limiter, LimiterBuilder, ManualClock, Mode, Networks, Observer,
    OnStoreError, Permit, Policy, PolicySet, Quota, QuotaError, QuotaStatus, Quotas, Refusal,
    RefusalKind, Retry, Subjects, Timestamp, UnknownPolicy, Verdict,
};
#[cfg(feature = "memory")]
pub use limiter_core::{MemoryStore, MemoryStoreBuilder};
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub use limiter_core::{RemoteStore, RemoteStoreBuilder};

pub use crate::{
    admit::admit,
    fairing::RateLimitFairing,
    guard::RateLimited,
    guard_policies::{DefaultPolicy, Policies},
    refusal_responder::Refused,
    request::{client_ip, explain},
    request_state::{permit, refusal, set_user},
};

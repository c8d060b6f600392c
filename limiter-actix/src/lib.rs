//! Rate limiting and auto-ban for actix-web 4. The manual, from quotas to operation, is
//! [`limiter_core::guide`]; recipes with their code are in the [`cookbook`]. This page has what
//! is special to actix-web.
//!
//! [`RateLimit`] wraps an `App`, a scope, a resource or a single handler:
//!
//! ```
//! use actix_web::{App, HttpResponse, get, http::StatusCode, test, web};
//! use limiter_actix::{Limiter, Policy, Quota, RateLimit};
//!
//! #[get("/hello")]
//! async fn hello() -> &'static str {
//!     "hello"
//! }
//!
//! # actix_web::rt::System::new().block_on(async {
//! // Before the server: one limiter, whose clones share one count.
//! let limiter = Limiter::builder()
//!     .policy(Policy::new("api", Quota::per_minute(2)?)?)
//!     .build()
//!     .await?;
//! let api = RateLimit::new(limiter.policy("api")?);
//!
//! // What HttpServer::new(move || ...) makes in each worker.
//! let app = App::new().service(web::scope("/api").wrap(api.clone()).service(hello));
//!
//! let app = test::init_service(app).await;
//! let request = || {
//!     let peer = "192.0.2.1:5000".parse().unwrap();
//!     test::TestRequest::get().uri("/api/hello").peer_addr(peer).to_request()
//! };
//! let response = test::call_service(&app, request()).await;
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(response.headers().get("ratelimit-policy").unwrap(), r#""api";q=2;w=60"#);
//! test::call_service(&app, request()).await;
//! let refused = test::call_service(&app, request()).await;
//! assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
//! assert_eq!(refused.headers().get("retry-after").unwrap(), "30");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! A policy that handlers name, `#[get("/x", wrap = "RateLimit::named(\"api\")")]`, is looked
//! up in the limiter that the application has got by `App::new().app_data(limiter.clone())`.
//! In a test a request needs an address: `TestRequest::peer_addr`, or
//! [`ClientIp::with_fallback`] for a limiter that has no peers.
//!
//! # Order
//! actix-web runs what is wrapped last first. A limiter that counts by user
//! goes inside of the authentication, so it is wrapped *before* it; CORS goes
//! outside, so it is wrapped *after*: a refusal is an `Ok` response, which
//! outer middleware sees like any other.
//!
//! # A handler's view
//! A handler takes [`RateLimited`] to see the [`Decision`] of the innermost limit that its
//! request has passed, and to act on the [`Permit`]: to forgive, to charge, to strike. It
//! limits nothing by itself, and is answered with 500 where no `RateLimit` wraps the handler.
//!
//! ```
//! use actix_web::{HttpResponse, get, post};
//! use limiter_actix::RateLimited;
//!
//! #[get("/left")]
//! async fn left(limited: RateLimited) -> String {
//!     limited.tightest().map_or(0, |quota| quota.remaining()).to_string()
//! }
//!
//! #[post("/login")]
//! async fn login(limited: RateLimited, password: String) -> HttpResponse {
//!     if password != "correct horse" {
//!         return HttpResponse::Unauthorized().finish();
//!     }
//!     // None: the request was not counted, as of an exempt endpoint or an address of `allow`.
//!     if let Some(permit) = limited.permit() {
//!         permit.forgive("login").await.ok();
//!     }
//!     HttpResponse::Ok().finish()
//! }
//! # let _ = (left, login);
//! ```
//!
//! Middleware takes [`permit`] instead.
//!
//! # What is counted once, and what apart
//! Policies of one `RateLimit` are decided together: a refusal by one charges
//! none. Several `RateLimit`s are independent: an inner refusal does not give
//! back what an outer one charged. A policy that one request meets twice for
//! the same key is charged once.
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `memory` | yes | state in this process |
//! | `config` | | the configuration, `limiter.toml` and `LIMITER_*`: [`Config`] |
//! | `log` | yes | events also for loggers of the crate `log`; they are `tracing` events |
//! | `metrics` | | numbers for Prometheus and others, by the facade `metrics` |
//! | `redis` | | Redis and Valkey: one server, Sentinel, Cluster |
//! | `postgres`, `mysql`, `sqlite` | | PostgreSQL; MySQL and MariaDB; SQLite, compiled in |
//! | `tls` | | TLS to a store |
//! | `utoipa` | | the responses of a [`Refusal`] in OpenAPI documents: `responses(Refusal)` |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod cookbook;
mod enforcer;
mod extractor;
mod future;
mod limiter_per_worker;
mod rate_limit;
mod request;
mod response;
mod service;
mod unmatched_exemptions;

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
    extractor::{RateLimited, permit},
    future::RateLimitFuture,
    rate_limit::RateLimit,
    request::{User, admit, client_ip, explain},
    response::{Refused, refusal_response},
    service::RateLimitService,
};

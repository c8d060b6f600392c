//! Rate limiting and auto-ban, without a web framework.
//!
//! A request goes through in reading order: an adapter ([`limiter-actix`],
//! [`limiter-rocket`]) extracts its facts ([`RequestInfo`]), a [`PolicySet`]
//! finds whom each policy counts and asks the [`Store`], which decides in one
//! atomic step by the pure functions of this crate, and the [`Decision`] is
//! rendered into header fields and, where it refuses, a [`Refusal`].
//!
//! ```
//! use limiter_core::{Key, Limiter, Policy, Quotas};
//!
//! # futures_executor::block_on(async {
//! let limiter = Limiter::builder()
//!     .policy(Policy::new("api", "10/second; 1000/hour".parse::<Quotas>()?)?)
//!     .build()
//!     .await?;
//!
//! let api = limiter.policy("api")?;
//! let client = api.subjects_of(&Key::ip("192.0.2.1".parse()?));
//! let decision = api.check(&client, 1).await?;
//! assert!(decision.is_allowed());
//! assert_eq!(decision.quotas()[0].remaining(), 9);
//!
//! let fields = api.fields(&decision);
//! assert_eq!(fields[0].0, "ratelimit-policy");
//! assert_eq!(fields[0].1, r#""api.1s";q=10;w=1, "api.1h";q=1000;w=3600"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! | to | see |
//! |---|---|
//! | read the manual | [`guide`] |
//! | write quotas, choose an algorithm | [`quota`], [`Algorithm`] |
//! | ban who keeps hammering | [`ban`], [`BanRule`] |
//! | say whom a policy counts | [`key`], [`KeySpec`] |
//! | run behind proxies | [`client_ip`], [`ClientIp`] |
//! | read it all from a file | [`config`], [`Config`] |
//! | share state between servers | `RemoteStore` (features `redis`, `postgres`, `mysql`, `sqlite`) |
//! | keep state elsewhere | [`Store`] and its contract, [`decide`] |
//!
//! # Features
//! - `memory` (default): the embedded `MemoryStore`.
//! - `config` (default): the configuration, from TOML, the environment, or any
//!   source of `figment`.
//! - `metrics`: numbers for Prometheus and others, by the facade `metrics`.
//! - `log`: events also for loggers of the crate `log`; they are `tracing` events.
//! - `redis`, `postgres`, `mysql`, `sqlite`: state that servers share, in Redis
//!   or Valkey, PostgreSQL, MySQL or MariaDB, a file of SQLite.
//! - `tls`: TLS to any of them.
//! - `utoipa`: the responses of a [`Refusal`] in OpenAPI documents.
//! - `conformance`: the suite that every store has to pass.
//!
//! [`limiter-actix`]: https://crates.io/crates/limiter-actix
//! [`limiter-rocket`]: https://crates.io/crates/limiter-rocket

#![cfg_attr(docsrs, feature(doc_cfg))]

mod algorithm;
pub mod ban;
mod check;
pub mod client_ip;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod decide;
mod decision;
mod error;
pub mod events;
mod exempt_endpoints;
#[cfg(feature = "memory")]
mod expiring_cache;
pub mod guide;
pub mod key;
pub mod limiter;
#[cfg(feature = "metrics")]
pub mod metrics;
mod name;
mod nearest_name;
mod networks;
mod outage_usage;
pub mod policy;
pub mod quota;
mod request;
pub mod response;
mod response_statuses;
pub mod settlement;
mod short_list;
pub mod stats;
mod store;
mod subject_resolver;
pub mod time;

#[cfg(feature = "memory")]
pub use crate::store::{MemoryStore, MemoryStoreBuilder};
#[cfg(feature = "_shared")]
pub use crate::store::{RemoteStore, RemoteStoreBuilder};
pub use crate::{
    algorithm::State,
    ban::{Ban, BanAnswer, BanChange, BanRule},
    check::{Check, Item, Subject},
    client_ip::ClientIp,
    decision::{Decision, QuotaStatus, Retry, Verdict},
    error::{ConfigError, ConfigErrorKind, Error, StoreError, StoreErrorKind, UnknownPolicy},
    events::{BanCause, Event, EventStream, Observer},
    exempt_endpoints::Exemptions,
    key::{Key, KeyPart, KeySpec, ParseKeyError},
    limiter::{
        Admission, AdmitOptions, AnsweredBy, ExplainedAnswer, ExplainedBan, ExplainedClient,
        ExplainedPolicy, ExplainedQuota, ExplainedStrikes, Explanation, Limiter, LimiterBuilder,
        Permit, PolicySet, Settling,
    },
    networks::Networks,
    outage_usage::OutageUsage,
    policy::{HeaderStyle, HeaderStyles, Mode, Namespaces, OnStoreError, Policy, QuotaId},
    quota::{Algorithm, Quota, QuotaError, Quotas},
    request::{RequestInfo, Subjects},
    response::{Fields, Refusal, RefusalKind},
    response_statuses::{IntoStatusPattern, StatusPattern},
    short_list::{IntoIter, ShortList},
    store::{Answer, BanPage, Banned, Health, KeyStates, ServerHealth, Store},
    time::{Clock, ManualClock, SystemClock, Timestamp},
};
#[cfg(feature = "config")]
pub use crate::{config::Config, limiter::Reloaded};

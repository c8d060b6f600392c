//! Recipes for actix-web, each a file with its test: they are compiled and run with the
//! repository's tests. What the recipes of both frameworks are is in
//! [the manual](limiter_core::guide::cookbook).
//!
//! # Login protection
//! Only wrong passwords count, also if they are sent at once, and ban; one that succeeds forgives.
//! ```ignore
#![doc = include_str!("../cookbook/login.rs")]
//! ```
//!
//! # Strikes by hand
//! A form that answers a wrong password with 200.
//! ```ignore
#![doc = include_str!("../cookbook/login_form_answers_200.rs")]
//! ```
//!
//! # Failures cost nothing
//! Requests that the server answers with 5xx are given back.
//! ```ignore
#![doc = include_str!("../cookbook/refund_on_5xx.rs")]
//! ```
//!
//! # A budget of tokens
//! For answers that stream.
//! ```ignore
#![doc = include_str!("../cookbook/charge_while_streaming.rs")]
//! ```
//!
//! # API plans
//! The quotas of each request by what its client pays for.
//! ```ignore
#![doc = include_str!("../cookbook/plans.rs")]
//! ```
//!
//! # Limits by user
//! From a verified token.
//! ```ignore
#![doc = include_str!("../cookbook/users.rs")]
//! ```
//!
//! # Requests that cost more
//! Tokens of a language model, complexity of a GraphQL query.
//! ```ignore
#![doc = include_str!("../cookbook/cost.rs")]
//! ```
//!
//! # A key from the body
//! The account of a form.
//! ```ignore
#![doc = include_str!("../cookbook/body_key.rs")]
//! ```
//!
//! # Several policies
//! Decided together.
//! ```ignore
#![doc = include_str!("../cookbook/several_policies.rs")]
//! ```
//!
//! # A body of your own
//! With the numbers of the refusal.
//! ```ignore
#![doc = include_str!("../cookbook/custom_body.rs")]
//! ```
//!
//! # HTML and JSON
//! By `Accept`.
//! ```ignore
#![doc = include_str!("../cookbook/html_or_json.rs")]
//! ```
//!
//! # Behind proxies
//! Cloudflare, nginx, a load balancer with health checks.
//! ```ignore
#![doc = include_str!("../cookbook/behind_proxies.rs")]
//! ```
//!
//! # CORS
//! With the fields of the limiter exposed.
//! ```ignore
#![doc = include_str!("../cookbook/cors.rs")]
//! ```
//!
//! # OpenAPI
//! 403, 429 and 503 of a limited endpoint, by `utoipa`.
//! ```ignore
#![doc = include_str!("../cookbook/openapi.rs")]
//! ```
//!
//! # Messages of a WebSocket
//! Each counts.
//! ```ignore
#![doc = include_str!("../cookbook/messages.rs")]
//! ```
//!
//! # Several servers
//! On one Redis.
//! ```ignore
#![doc = include_str!("../cookbook/several_servers.rs")]
//! ```
//! ```yaml
#![doc = include_str!("../cookbook/compose.yaml")]
//! ```
//! ```toml
#![doc = include_str!("../cookbook/limiter.toml")]
//! ```
//!
//! # Tests of your own
//! A clock that they move, a store that is emptied.
//! ```ignore
#![doc = include_str!("../cookbook/testing_your_app.rs")]
//! ```

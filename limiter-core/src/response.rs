//! HTTP responses: header fields of admitted requests, and refusals.

pub mod headers;
mod refusal;
mod structured_fields;

pub use self::refusal::{Refusal, RefusalKind};

//! HTTP responses: header fields of admitted requests, and refusals.

pub mod headers;
mod problem;
mod refusal;
mod structured_fields;

pub use self::{problem::RefusalKind, refusal::Refusal};

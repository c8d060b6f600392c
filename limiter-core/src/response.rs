//! HTTP responses: header fields of admitted requests, and refusals.

mod fields;
mod openapi;
mod problem;
pub mod ratelimit_headers;
mod refusal;
mod retry_after;
mod structured_fields;

pub use self::{
    fields::{Fields, FieldsIntoIter},
    problem::RefusalKind,
    refusal::Refusal,
};

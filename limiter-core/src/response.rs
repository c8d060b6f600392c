//! HTTP responses: header fields of admitted requests, and refusals.

mod fields;
pub mod headers;
mod openapi;
mod problem;
mod refusal;
mod structured_fields;

pub use self::{
    fields::{Fields, FieldsIntoIter},
    problem::RefusalKind,
    refusal::Refusal,
};

//! [`RateLimited`] and [`Refused`] in OpenAPI documents, by `rocket_okapi`.
//!
//! ```edition2021
//! use limiter_rocket::RateLimited;
//! use rocket::get;
//! use rocket_okapi::{openapi, openapi_get_spec};
//!
//! /// Says hello.
//! #[openapi]
//! #[get("/hello")]
//! fn hello(_limit: RateLimited) -> &'static str {
//!     "hello"
//! }
//!
//! let document = openapi_get_spec![hello];
//! let responses = &document.paths["/hello"].get.as_ref().unwrap().responses.responses;
//! let statuses: Vec<_> = responses.keys().collect();
//! assert_eq!(statuses, ["200", "403", "429", "503"]);
//! ```

use limiter_core::Refusal;
use rocket_okapi::{
    OpenApiError, Result,
    r#gen::OpenApiGenerator,
    okapi::openapi3::{RefOr, Response, Responses},
    request::{OpenApiFromRequest, RequestHeaderInput},
    response::OpenApiResponderInner,
};

use crate::{Policies, RateLimited, Refused};

impl<'r, P: Policies> OpenApiFromRequest<'r> for RateLimited<P> {
    fn from_request_input(
        _: &mut OpenApiGenerator,
        _name: String,
        _required: bool,
    ) -> Result<RequestHeaderInput> {
        Ok(RequestHeaderInput::None)
    }

    fn get_responses(_: &mut OpenApiGenerator) -> Result<Responses> {
        responses()
    }
}

impl OpenApiResponderInner for Refused {
    fn responses(_: &mut OpenApiGenerator) -> Result<Responses> {
        responses()
    }
}

fn responses() -> Result<Responses> {
    let responses = Refusal::openapi_responses::<Response>();
    let responses = responses.map_err(|error| OpenApiError::new(error.to_string()))?;
    let entry = |(status, response): (u16, Response)| (status.to_string(), RefOr::Object(response));
    Ok(Responses { responses: responses.into_iter().map(entry).collect(), ..Responses::default() })
}

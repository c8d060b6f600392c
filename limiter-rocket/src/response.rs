//! The body of a refusal, where the application does not make it.

use std::io::Cursor;

use limiter_core::{Fields, Refusal};
use rocket::{
    Request, Response,
    http::{Header, Status},
};

/// Whether the application has a catcher, for that code or a default one, that
/// Rocket asks for this request. Asked once all are registered.
pub(crate) fn has_catcher(request: &Request<'_>, refusal: &Refusal) -> bool {
    let path = request.uri().path();
    request.rocket().catchers().any(|catcher| {
        let code = catcher.code.is_none_or(|code| code == refusal.status());
        code && catcher.base.path().segments().prefix_of(path.segments())
    })
}

/// Gives a response the refusal's status and body. Its fields are added by the
/// fairing, but for the two that belong to the body; fields that are there,
/// such as another fairing's for CORS, stay.
pub(crate) fn refuse(response: &mut Response<'_>, refusal: &Refusal) {
    response.set_status(Status::new(refusal.status()));
    response.set_sized_body(refusal.body().len(), Cursor::new(refusal.body().to_owned()));
    let of_body = |name: &str| name == "content-type" || name == "cache-control";
    for (name, value) in refusal.fields().iter().filter(|(name, _)| of_body(name)) {
        response.set_header(Header::new(*name, value.to_string()));
    }
}

/// Adds fields to a response. Lists go on in a line more, as RFC 9651
/// (section 3.1) allows; of the others the first one there stays.
pub(crate) fn add_fields(response: &mut Response<'_>, fields: Fields<'_>) {
    for (name, value) in fields {
        let list = matches!(name, "ratelimit" | "ratelimit-policy");
        if list || !response.headers().contains(name) {
            response.adjoin_header(Header::new(name, value.into_owned()));
        }
    }
}

//! The body of a refusal, where the application does not make it.

use std::io::Cursor;

use limiter_core::{Fields, Refusal};
use rocket::{
    Build, Catcher, Request, Response, Rocket,
    catcher::Handler,
    http::{Header, Status},
};

use crate::visit::Visit;

/// The statuses that a limiter refuses with.
const CODES: [u16; 3] = [403, 429, 503];

/// Registers catchers for the codes that the application leaves to Rocket: it
/// has neither a catcher for the code at `/` nor a default one.
pub(crate) fn register(rocket: Rocket<Build>) -> Rocket<Build> {
    let taken = |code: u16| {
        let of_root = |catcher: &&Catcher| catcher.base.path() == "/";
        let takes = |catcher: &Catcher| catcher.code.is_none_or(|own| own == code);
        rocket.catchers().filter(of_root).any(takes)
    };
    let free: Vec<_> = CODES.into_iter().filter(|code| !taken(*code)).collect();
    let catchers: Vec<_> =
        free.into_iter().map(|code| Catcher::new(code, RefusalCatcher)).collect();
    rocket.register("/", catchers)
}

#[derive(Clone, Copy, Debug)]
struct RefusalCatcher;

#[rocket::async_trait]
impl Handler for RefusalCatcher {
    async fn handle<'r>(
        &self,
        status: Status,
        request: &'r Request<'_>,
    ) -> Result<Response<'r>, Status> {
        match Visit::of(request).refusal().filter(|refusal| refusal.status() == status.code) {
            Some(refusal) => Ok(response(&refusal)),
            // A 403 of the application's own looks as it would without us.
            None => Catcher::default().handler.handle(status, request).await,
        }
    }
}

/// The refusal as limiter makes it. Its fields are added by the fairing, but
/// for the two that belong to the body.
pub(crate) fn response<'r>(refusal: &Refusal) -> Response<'r> {
    let mut response = Response::build()
        .status(Status::new(refusal.status()))
        .sized_body(refusal.body().len(), Cursor::new(refusal.body().to_owned()))
        .finalize();
    let of_body = |name: &str| name == "content-type" || name == "cache-control";
    for (name, value) in refusal.fields().iter().filter(|(name, _)| of_body(name)) {
        response.set_header(Header::new(*name, value.clone()));
    }
    response
}

/// Adds fields to a response. Lists go on in a line more, as RFC 9651
/// (section 3.1) allows; of the others the first one there stays.
pub(crate) fn add_fields(response: &mut Response<'_>, fields: &Fields) {
    for (name, value) in fields {
        let list = matches!(*name, "ratelimit" | "ratelimit-policy");
        if list || !response.headers().contains(name) {
            response.adjoin_header(Header::new(*name, value.clone()));
        }
    }
}

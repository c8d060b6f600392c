//! The response to a refused request: which answer goes out, and its fields.
//!
//! A refusal goes out as a catcher answers it, the application's own or else
//! ours, or as a handler answers it that has got the refusal
//! (`Result<RateLimited, Refused>`). What a handler answers behind an
//! `Option<RateLimited>` does not go out.

use std::borrow::Cow;

use limiter_core::Fields;
use rocket::{
    Build, Catcher, Request, Response, Rocket,
    catcher::{self, Handler},
    fairing::{self, Fairing, Info, Kind},
    http::{Header, Status},
};

use crate::{
    refusal_responder::{Refused, write_document},
    request_state::RequestState,
};

/// The name of a cookie that never leaves: it is there if a handler has answered
/// a refused request, and not a catcher.
pub(crate) const ANSWERED_BY_HANDLER: &str = "limiter-answered-by-handler";

/// The statuses of refusals.
const STATUSES: [u16; 5] = [400, 403, 429, 500, 503];

/// Makes a response the one that a refused request is answered with.
pub(crate) async fn answer_refusal<'r>(
    request: &'r Request<'_>,
    response: &mut Response<'r>,
    refused: &Refused,
) {
    let by_handler = take_mark(response);
    let is_refusals = response.status() == refused.status();
    if !refused.is_seen() && (by_handler || !is_refusals) {
        *response = catch(refused.status(), request).await;
    }
    refused.unseen().write_fields(&mut |name, value| add_field(response, name, value));
}

/// Removes the mark of a handler's answer, and returns whether it was there.
fn take_mark(response: &mut Response<'_>) -> bool {
    if !has_field(response, "set-cookie") {
        return false;
    }
    let is_mark = |line: &str| line.split('=').next() == Some(ANSWERED_BY_HANDLER);
    let lines: Vec<_> = response.headers().get("set-cookie").map(str::to_owned).collect();
    let others: Vec<_> = lines.iter().filter(|line| !is_mark(line)).collect();
    if others.len() == lines.len() {
        return false;
    }
    response.remove_header("set-cookie");
    for line in others {
        response.adjoin_raw_header("set-cookie", line.clone());
    }
    true
}

/// Returns the answer of the catcher that Rocket takes for that status and request.
async fn catch<'r>(status: Status, request: &'r Request<'_>) -> Response<'r> {
    let path = request.uri().path();
    let matching = request.rocket().catchers().filter(|catcher| {
        let code = catcher.code.is_none_or(|code| code == status.code);
        code && catcher.base.path().segments().prefix_of(path.segments())
    });
    // The longest base counts, and among those of one length the one for the status.
    let rank = |catcher: &&Catcher| (catcher.base.path().segments().len(), catcher.code.is_some());
    let caught = match matching.max_by_key(rank) {
        Some(catcher) => catcher.handler.handle(status, request).await,
        None => OurCatcher.handle(status, request).await,
    };
    caught.unwrap_or_else(|_| {
        let mut response = Response::new();
        response.set_status(Status::InternalServerError);
        response
    })
}

/// Adds a field to a response. A list goes on in another line; of the others the first one
/// there stays.
pub(crate) fn add_field(response: &mut Response<'_>, name: &'static str, value: Cow<'_, str>) {
    if Fields::is_list(name, &value) || !has_field(response, name) {
        response.adjoin_header(Header::new(name, value.into_owned()));
    }
}

/// Returns true if a response has a field of that name. It looks at each: Rocket's own
/// look-up hashes a name letter by letter, which takes as long as thirty comparisons.
fn has_field(response: &Response<'_>, name: &str) -> bool {
    response.headers().iter().any(|field| field.name() == name)
}

/// The catcher of refusals where the application has none: it answers refusals
/// with their documents, and everything else as Rocket does.
#[derive(Clone, Copy)]
struct OurCatcher;

#[rocket::async_trait]
impl Handler for OurCatcher {
    async fn handle<'r>(&self, status: Status, request: &'r Request<'_>) -> catcher::Result<'r> {
        match RequestState::of(request).refusal() {
            Some(refusal) if refusal.status() == status.code => {
                let mut response = Response::new();
                write_document(&mut response, &refusal);
                Ok(response)
            }
            _ => Catcher::default().handler.handle(status, request).await,
        }
    }
}

/// Registers our catchers once those of the application are all registered:
/// fairings that are attached while others ignite come last.
#[derive(Debug)]
pub(crate) struct CatcherFairing;

#[rocket::async_trait]
impl Fairing for CatcherFairing {
    fn info(&self) -> Info {
        Info { name: "Rate limiter's catchers", kind: Kind::Ignite | Kind::Singleton }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let at_root = |code: Option<u16>| {
            rocket.catchers().any(|own| own.code == code && own.base.path() == "/")
        };
        let has_default = at_root(None);
        let missing = STATUSES.into_iter().filter(|status| !has_default && !at_root(Some(*status)));
        let catchers: Vec<_> = missing
            .map(|status| {
                let mut catcher = Catcher::new(status, OurCatcher);
                catcher.name = Some("rate limit".into());
                catcher
            })
            .collect();
        Ok(if catchers.is_empty() { rocket } else { rocket.register("/", catchers) })
    }
}

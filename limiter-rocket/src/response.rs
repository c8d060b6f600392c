//! The response to a refused request: which answer goes out, and its fields.
//!
//! A refusal goes out as a catcher answers it, the application's own or else
//! ours, or as a handler answers it that has got the refusal
//! (`Result<RateLimited, Refused>`). What a handler answers behind an
//! `Option<RateLimited>` does not go out.

use std::{
    fmt,
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use limiter_core::{Fields, Refusal};
use rocket::{
    Build, Catcher, Request, Response, Rocket,
    catcher::{self, Handler},
    fairing::{self, Fairing, Info, Kind},
    http::{Header, Status},
    outcome::Outcome,
    response::{self, Responder},
};

use crate::request_state::RequestState;

/// The name of a cookie that never leaves: it is there if a handler has answered
/// a refused request, and not a catcher.
pub(crate) const ANSWERED_BY_HANDLER: &str = "limiter-answered-by-handler";

/// The statuses of refusals.
const STATUSES: [u16; 5] = [400, 403, 429, 500, 503];

/// A guard's refusal: the request is over a limit, banned or blocked, or could
/// not be counted.
///
/// As a responder it is the response that limiter makes: status, fields and a
/// problem document.
#[derive(Clone)]
pub struct Refused {
    refusal: Refusal,
    /// Whether the application has looked at it, so that the answer is its own.
    seen: Arc<AtomicBool>,
}

impl fmt::Debug for Refused {
    /// The status alone: Rocket logs it with every refused request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({})", self.refusal.status())
    }
}

impl Refused {
    pub(crate) fn new(refusal: Refusal) -> Self {
        Self { refusal, seen: Arc::default() }
    }

    /// Another refusal of the same request.
    pub(crate) fn with(&self, refusal: Refusal) -> Self {
        Self { refusal, seen: Arc::clone(&self.seen) }
    }

    /// The refusal. A handler that has looked at it answers for itself: what it
    /// answers goes out, with the refusal's fields.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        self.seen.store(true, Ordering::Relaxed);
        &self.refusal
    }

    /// The status of the refusal.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::new(self.refusal.status())
    }

    /// The outcome of a guard that is refused.
    pub fn into_outcome<S, F>(self) -> Outcome<S, (Status, Self), F> {
        Outcome::Error((self.status(), self))
    }

    pub(crate) const fn unseen(&self) -> &Refusal {
        &self.refusal
    }

    fn is_seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }
}

impl<'r> Responder<'r, 'static> for Refused {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::new();
        // The fairing adds the other fields.
        write_document(&mut response, self.refusal());
        Ok(response)
    }
}

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
    add_fields(response, refused.unseen().fields());
}

/// Removes the mark of a handler's answer, and returns whether it was there.
fn take_mark(response: &mut Response<'_>) -> bool {
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

/// What the catcher answers that Rocket takes for that status and request.
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

/// Gives a response the refusal's status and document, with the two fields that
/// belong to it.
fn write_document(response: &mut Response<'_>, refusal: &Refusal) {
    let body = refusal.body();
    response.set_status(Status::new(refusal.status()));
    response.set_sized_body(body.len(), Cursor::new(body));
    response.set_header(Header::new("content-type", "application/problem+json"));
    response.set_header(Header::new("cache-control", "no-store"));
}

/// Adds fields to a response. Lists go on in another line, as RFC 9651 (section
/// 3.1) allows; of the others the first one there stays.
pub(crate) fn add_fields(response: &mut Response<'_>, fields: Fields<'_>) {
    for (name, value) in fields {
        // Up to draft -07 `ratelimit` is a dictionary, of which a response has one.
        let is_list = name == "ratelimit-policy" || name == "ratelimit" && value.starts_with('"');
        if is_list || !response.headers().contains(name) {
            response.adjoin_header(Header::new(name, value.into_owned()));
        }
    }
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

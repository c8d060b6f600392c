//! A refusal as a guard's error and as a response: [`Refused`].

use std::{
    fmt,
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use limiter_core::Refusal;
use rocket::{
    Request, Response,
    http::{Header, Status},
    outcome::Outcome,
    response::{self, Responder},
};

/// A guard's refusal: the request is over a limit, banned or blocked, or could
/// not be counted.
///
/// As a responder it is the response that limiter makes: status, fields and a
/// problem document.
#[derive(Clone)]
pub struct Refused {
    refusal: Refusal,
    /// True if the application has looked at it, so that the answer is its own.
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

    /// Returns another refusal of the same request.
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

    pub(crate) fn is_seen(&self) -> bool {
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

/// Gives a response the refusal's status and document, with the two fields that
/// belong to it.
pub(crate) fn write_document(response: &mut Response<'_>, refusal: &Refusal) {
    let body = refusal.body();
    response.set_status(Status::new(refusal.status()));
    response.set_sized_body(body.len(), Cursor::new(body));
    response.set_header(Header::new("content-type", "application/problem+json"));
    response.set_header(Header::new("cache-control", "no-store"));
}

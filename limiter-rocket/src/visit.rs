//! What a request has met on its way: kept in Rocket's request-local cache.

use std::sync::{Mutex, MutexGuard, PoisonError};

use limiter_core::{Pass, Refusal};
use rocket::Request;

/// Tells the limiter whom a request is from, for policies that count by
/// `"user"`.
///
/// Call it where the application has verified the user, such as in the guard
/// that authenticates, and put that guard before the limit:
///
/// ```
/// use limiter_rocket::identify;
/// use rocket::{Request, request::{FromRequest, Outcome}};
///
/// struct Account(String);
///
/// #[rocket::async_trait]
/// impl<'r> FromRequest<'r> for Account {
///     type Error = ();
///
///     async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
///         let account = Account("alice".to_owned()); // from a verified session
///         identify(request, &account.0);
///         Outcome::Success(account)
///     }
/// }
/// ```
pub fn identify(request: &Request<'_>, user: &str) {
    Visit::of(request).lock().user = Some(user.to_owned());
}

#[derive(Debug, Default)]
pub(crate) struct Visit(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    user: Option<String>,
    /// What the last guard gave that let the request pass.
    pass: Option<Pass>,
    refusal: Option<Refusal>,
}

impl Visit {
    pub(crate) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::default)
    }

    pub(crate) fn user(&self) -> Option<String> {
        self.lock().user.clone()
    }

    pub(crate) fn pass(&self, pass: Pass) {
        self.lock().pass = Some(pass);
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.lock().refusal = Some(refusal);
    }

    pub(crate) fn last_pass(&self) -> Option<Pass> {
        self.lock().pass.clone()
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.lock().refusal.clone()
    }

    /// Notes are whole after each call, so a poisoned lock is taken all the same.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

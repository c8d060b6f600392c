//! What a request has met on its way: kept in Rocket's request-local cache.

use std::sync::{Mutex, MutexGuard, PoisonError};

use limiter_core::{Permit, Refusal};
use rocket::Request;

/// Tells the limiter whom a request is from, for policies that count by
/// `"user"`.
///
/// Call it where the application has verified the user, such as in the guard
/// that authenticates, and put that guard before the limit:
///
/// ```
/// use limiter_rocket::set_user;
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
///         set_user(request, &account.0);
///         Outcome::Success(account)
///     }
/// }
/// ```
pub fn set_user(request: &Request<'_>, user: &str) {
    RequestState::of(request).lock().user = Some(user.to_owned());
}

#[derive(Debug, Default)]
pub(crate) struct RequestState(Mutex<RequestStateInner>);

#[derive(Debug, Default)]
struct RequestStateInner {
    user: Option<String>,
    /// What the last guard gave that let the request pass.
    pass: Option<Permit>,
    refusal: Option<Refusal>,
}

impl RequestState {
    pub(crate) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::default)
    }

    pub(crate) fn user(&self) -> Option<String> {
        self.lock().user.clone()
    }

    pub(crate) fn pass(&self, pass: Permit) {
        self.lock().pass = Some(pass);
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.lock().refusal = Some(refusal);
    }

    pub(crate) fn last_pass(&self) -> Option<Permit> {
        self.lock().pass.clone()
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.lock().refusal.clone()
    }

    /// RequestStateInner are whole after each call, so a poisoned lock is taken all the same.
    fn lock(&self) -> MutexGuard<'_, RequestStateInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

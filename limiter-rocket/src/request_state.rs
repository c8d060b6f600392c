//! State of one request, in Rocket's request-local cache: its user, its permits,
//! its refusal.

use std::sync::{Mutex, MutexGuard, PoisonError};

use limiter_core::{Permit, Refusal};
use rocket::Request;

use crate::refusal_responder::Refused;

/// Sets the user whom a request is from, for policies that count by `"user"`.
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

/// Returns the refusal of a request, for catchers and fairings: its kind, how long
/// to wait, the policy.
///
/// ```
/// use limiter_rocket::{RefusalKind, refusal};
/// use rocket::{Request, catch};
///
/// #[catch(429)]
/// fn busy(request: &Request<'_>) -> String {
///     match refusal(request) {
///         Some(refusal) if refusal.kind() == RefusalKind::Limited => {
///             let wait = refusal.retry_after().map_or(0, |wait| wait.as_secs() + 1);
///             format!("You are too fast. Come back in {wait} s.")
///         }
///         _ => "Too many requests.".to_owned(),
///     }
/// }
/// # let _ = busy;
/// ```
#[must_use]
pub fn refusal(request: &Request<'_>) -> Option<Refusal> {
    RequestState::of(request).refusal()
}

/// Returns the last permit that a request has got from a limit.
#[must_use]
pub fn permit(request: &Request<'_>) -> Option<Permit> {
    RequestState::of(request).permit()
}

#[derive(Debug, Default)]
pub(crate) struct RequestState(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    user: Option<String>,
    /// The last permit; those before are in its chain.
    permit: Option<Permit>,
    refused: Option<Refused>,
}

impl RequestState {
    pub(crate) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::default)
    }

    pub(crate) fn user(&self) -> Option<String> {
        self.lock().user.clone()
    }

    pub(crate) fn permit(&self) -> Option<Permit> {
        self.lock().permit.clone()
    }

    pub(crate) fn keep_permit(&self, permit: Permit) {
        self.lock().permit = Some(permit);
    }

    pub(crate) fn refused(&self) -> Option<Refused> {
        self.lock().refused.clone()
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.lock().refused.as_ref().map(|refused| refused.unseen().clone())
    }

    /// Keeps the first refusal, and returns one that counts as seen with it.
    pub(crate) fn keep_refusal(&self, refusal: Refusal) -> (Refused, bool) {
        let mut inner = self.lock();
        match &inner.refused {
            Some(first) => (first.with(refusal), false),
            None => {
                let refused = Refused::new(refusal);
                inner.refused = Some(refused.clone());
                (refused, true)
            }
        }
    }

    /// The state is whole after each call, so a poisoned lock is taken all the same.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A handler's view of the limits that its request has passed: [`RateLimited`].

use std::{
    future::{Ready, ready},
    ops::Deref,
    sync::LazyLock,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use limiter_core::{Decision, Permit, Refusal};

use crate::response::Refused;

/// Marks a request that a limit has let pass uncounted: its endpoint is exempt, its address
/// is in `allow`, or it was skipped.
pub(crate) struct Uncounted;

/// An extractor of the limits that a handler's request has passed: the [`Decision`] of the
/// innermost [`RateLimit`](crate::RateLimit), and its [permit](Self::permit).
///
/// It limits nothing by itself. See the [crate's docs](crate#a-handlers-view).
///
/// # Errors
/// As an extractor: 500, and a line in the log, where no `RateLimit` wraps the handler.
#[derive(Clone, Debug)]
pub struct RateLimited {
    permit: Option<Permit>,
}

impl RateLimited {
    /// The permit; `None` if the request was not counted: its endpoint is exempt, its
    /// address is in `allow`, or it was skipped.
    #[must_use]
    pub const fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }
}

impl Deref for RateLimited {
    type Target = Decision;

    fn deref(&self) -> &Decision {
        static UNCOUNTED: LazyLock<Decision> = LazyLock::new(Decision::uncounted);
        self.permit.as_ref().map_or(&UNCOUNTED, Permit::decision)
    }
}

impl FromRequest for RateLimited {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let permit = permit(request);
        if permit.is_none() && !request.extensions().contains::<Uncounted>() {
            return ready(Err(Refused(Refusal::misconfigured(
                "a handler takes RateLimited, and no RateLimit wraps it; wrap it, its resource, \
                 its scope or the App with RateLimit::new(limiter.policy(\"<name>\")?)",
            ))));
        }
        ready(Ok(Self { permit }))
    }
}

/// Returns the last permit that a request has got from a limit, for middleware and for
/// handlers that get the request itself.
#[must_use]
pub fn permit(request: &HttpRequest) -> Option<Permit> {
    request.extensions().get::<Permit>().cloned()
}

//! [`RateLimited`], the guard that enforces.

use std::{fmt, marker::PhantomData, ops::Deref, sync::LazyLock};

use limiter_core::{AdmitOptions, Decision, Permit, PolicySet, Refusal, UnknownPolicy};
use rocket::{
    Request,
    request::{FromRequest, Outcome},
};

use crate::{
    admit::{admit, refuse},
    guard_policies::{DefaultPolicy, Policies},
    limiter_state::LimiterState,
    refusal_responder::Refused,
};

pub(crate) const MISSING_FAIRING: &str = "a route has a RateLimited guard, but the fairing is not attached; \
                               write .attach(RateLimitFairing::from_config())";

/// A request guard that enforces policies: those of `P`, by default the one
/// named `default`.
///
/// In the handler it is the [`Decision`], of those policies that this guard was
/// the first to count the request by. See the [crate's docs](crate).
pub struct RateLimited<P = DefaultPolicy> {
    permit: Option<Permit>,
    policies: PhantomData<fn() -> P>,
}

impl<P> Deref for RateLimited<P> {
    type Target = Decision;

    fn deref(&self) -> &Decision {
        static UNCOUNTED: LazyLock<Decision> = LazyLock::new(Decision::uncounted);
        self.permit.as_ref().map_or(&UNCOUNTED, Permit::decision)
    }
}

impl<P> fmt::Debug for RateLimited<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decision::fmt(self, f)
    }
}

impl<P> RateLimited<P> {
    /// The permit; `None` if the request is exempt.
    #[must_use]
    pub const fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }
}

#[rocket::async_trait]
impl<'r, P: Policies> FromRequest<'r> for RateLimited<P> {
    type Error = Refused;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Refused> {
        let Some(state) = request.rocket().state::<LimiterState>() else {
            return refuse(request, Refusal::misconfigured(MISSING_FAIRING)).into_outcome();
        };
        let policies = match policies::<P>(state, request) {
            Ok(policies) => policies,
            Err(error) => {
                return refuse(request, Refusal::of_error(&error.into())).into_outcome();
            }
        };
        let options = AdmitOptions::default().with_key(P::key(request)).with_cost(P::cost(request));
        match admit(request, &policies, options).await {
            Ok(permit) => Outcome::Success(Self { permit, policies: PhantomData }),
            Err(refused) => refused.into_outcome(),
        }
    }
}

/// Returns the policies of a request, with the quotas that it has.
fn policies<P: Policies>(
    state: &LimiterState,
    request: &Request<'_>,
) -> Result<PolicySet, UnknownPolicy> {
    let names = P::choose(request);
    let mut policies = state.policies(names)?;
    for name in names {
        if let Some(quotas) = P::quotas(request, name) {
            policies = policies.with_quotas(name, &quotas)?;
        }
    }
    Ok(policies)
}

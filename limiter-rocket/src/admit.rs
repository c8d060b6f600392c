//! The one way in which guards, the route before routing, and handlers admit a
//! request.

use limiter_core::{Admission, AdmitOptions, Answer, Exemptions, Permit, PolicySet, Refusal};
use rocket::{Request, http::Cookie};

use crate::{
    answer_refusal::ANSWERED_BY_HANDLER, refusal_responder::Refused, request::RocketRequest,
    request_state::RequestState,
};

/// Admits a request by hand, from a handler or a guard, for limits that are known
/// only there: by a field of the body, or for each message of a WebSocket.
///
/// Does everything that a [`RateLimited`](crate::RateLimited) guard does: the lists,
/// exempt endpoints, preflights and bans apply, a policy that has counted the
/// request already is not charged again, a refusal strikes, the fairing adds the
/// header fields and counts the response. `None` stands for a request that is
/// exempt.
///
/// ```
/// use limiter_rocket::{AdmitOptions, Limiter, Refused, admit};
/// use rocket::{Request, State, request::{FromRequest, Outcome}};
///
/// /// Counts each kilobyte that the client announces.
/// struct Announced;
///
/// #[rocket::async_trait]
/// impl<'r> FromRequest<'r> for Announced {
///     type Error = Refused;
///
///     async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Refused> {
///         let limiter = request.rocket().state::<Limiter>().expect("the fairing manages it");
///         let uploads = limiter.policy("uploads").expect("it is configured");
///         let length = request.headers().get_one("content-length");
///         let bytes: u64 = length.and_then(|length| length.parse().ok()).unwrap_or(0);
///         let options = AdmitOptions::default().with_cost(bytes.div_ceil(1024));
///         match admit(request, &uploads, options).await {
///             Ok(_) => Outcome::Success(Self),
///             Err(refused) => refused.into_outcome(),
///         }
///     }
/// }
/// ```
///
/// # Errors
/// The refusal, which is a response.
pub async fn admit(
    request: &Request<'_>,
    policies: &PolicySet,
    options: AdmitOptions,
) -> Result<Option<Permit>, Refused> {
    admit_as(RocketRequest::routed(request), request, policies, options).await
}

/// Admits a request that no route of the application has seen.
pub(crate) async fn admit_before_routing(
    request: &Request<'_>,
    policies: &PolicySet,
    exempt: &Exemptions,
) -> Result<(), Refused> {
    let facts = RocketRequest::before_routing(request);
    if exempt.contains(&facts) {
        return Ok(());
    }
    admit_as(facts, request, policies, AdmitOptions::default()).await.map(|_| ())
}

async fn admit_as(
    facts: RocketRequest<'_, '_>,
    request: &Request<'_>,
    policies: &PolicySet,
    options: AdmitOptions,
) -> Result<Option<Permit>, Refused> {
    let state = RequestState::of(request);
    let options = options.after(state.permit()).after_refusal(state.refusal());
    let admission = match policies.admit(&facts, options) {
        Answer::Ready(admission) => admission.expect("an answer is taken once"),
        Answer::Pending(admission) => admission.await,
    };
    match admission {
        Ok(Admission::Exempt) => Ok(None),
        Ok(Admission::AlreadyCounted(permit)) => Ok(Some(permit)),
        Ok(Admission::Counted(permit)) => {
            state.keep_permit(permit.clone());
            Ok(Some(permit))
        }
        Err(refusal) => Err(refuse(request, refusal)),
    }
}

/// Keeps a refusal with its request, for the catchers and the fairing.
pub(crate) fn refuse(request: &Request<'_>, refusal: Refusal) -> Refused {
    let (refused, is_first) = RequestState::of(request).keep_refusal(refusal);
    if is_first {
        // Rocket drops changes to cookies before it runs a catcher, so this one is
        // still there only if a handler answers, behind an `Option` of the guard.
        request.cookies().add(Cookie::new(ANSWERED_BY_HANDLER, ""));
    }
    refused
}

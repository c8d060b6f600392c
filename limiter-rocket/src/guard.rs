//! [`RateLimited`], the guard that enforces.

use std::{any::TypeId, fmt, marker::PhantomData, ops::Deref, sync::LazyLock};

use limiter_core::{Decision, Key, Permit, PolicySet, Refusal, is_preflight};
use rocket::{
    Ignite, Request, Rocket, Sentinel,
    http::Status,
    request::{FromRequest, Outcome},
};

use crate::{fairing::LimiterState, request::RocketRequest, request_state::RequestState};

/// Which policies a [`RateLimited`] guard enforces. [`policy!`](crate::policy)
/// writes it for names alone.
///
/// ```
/// use limiter_rocket::{Key, Policies};
/// use rocket::Request;
///
/// /// By tenant, and uploads count for more.
/// struct Upload;
///
/// impl Policies for Upload {
///     const NAMES: &'static [&'static str] = &["uploads", "daily"];
///
///     fn key(request: &Request<'_>) -> Option<Key> {
///         request.param::<&str>(1)?.ok().map(|tenant| Key::custom("tenant", tenant))
///     }
///
///     fn cost(_: &Request<'_>) -> u64 {
///         5
///     }
/// }
/// ```
pub trait Policies: Send + Sync + 'static {
    /// The names, as configured. They are decided together.
    const NAMES: &'static [&'static str];

    /// Whom to count, instead of by the policies' own keys. Never let a client
    /// choose it freely: each new key is a new count. Defaults to `None`: by
    /// the policies' keys.
    #[must_use]
    fn key(request: &Request<'_>) -> Option<Key> {
        let _ = request;
        None
    }

    /// Units that the request takes; 0 only looks. Defaults to 1.
    #[must_use]
    fn cost(request: &Request<'_>) -> u64 {
        let _ = request;
        1
    }
}

/// Names the policies of a guard:
///
/// ```
/// use limiter_rocket::{RateLimited, policy};
///
/// policy!(pub Login = "login");
/// policy!(Api = ["burst", "daily"]);
///
/// #[rocket::get("/x")]
/// fn x(_login: RateLimited<Login>, _api: RateLimited<Api>) {}
/// # let _ = x;
/// ```
#[macro_export]
macro_rules! policy {
    ($visibility:vis $name:ident = [$($policy:literal),+ $(,)?]) => {
        #[doc = concat!("Enforces the policies", $(" `", $policy, "`"),+, ".")]
        #[derive(Clone, Copy, Debug)]
        $visibility struct $name;

        impl $crate::Policies for $name {
            const NAMES: &'static [&'static str] = &[$($policy),+];
        }
    };
    ($visibility:vis $name:ident = $policy:literal) => {
        $crate::policy!($visibility $name = [$policy]);
    };
}

policy!(pub DefaultPolicy = "default");

/// A request guard that enforces policies: those of `P`, by default the one
/// named `default`.
///
/// In the handler it is the [`Decision`], of those policies that this guard was
/// the first to meet in the request. See the [crate's docs](crate).
pub struct RateLimited<P = DefaultPolicy> {
    pass: Option<Permit>,
    policies: PhantomData<fn() -> P>,
}

impl<P> Deref for RateLimited<P> {
    type Target = Decision;

    fn deref(&self) -> &Decision {
        static UNCOUNTED: LazyLock<Decision> = LazyLock::new(Decision::uncounted);
        self.pass.as_ref().map_or(&UNCOUNTED, Permit::decision)
    }
}

impl<P> fmt::Debug for RateLimited<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decision::fmt(self, f)
    }
}

/// That the guard refused the request, or could not count it.
#[derive(Clone)]
pub struct Refused {
    refusal: Refusal,
}

impl fmt::Debug for Refused {
    /// The status alone: Rocket logs it with every refused request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({})", self.refusal.status())
    }
}

impl Refused {
    /// What the client is told.
    #[must_use]
    pub const fn refusal(&self) -> &Refusal {
        &self.refusal
    }
}

#[rocket::async_trait]
impl<'r, P: Policies> FromRequest<'r> for RateLimited<P> {
    type Error = Refused;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Refused> {
        let Some(managed) = request.rocket().state::<LimiterState>() else {
            tracing::error!("{MISSING_FAIRING}");
            return refused(request, Refusal::internal_error());
        };
        let policies = match managed.policies(TypeId::of::<P>(), P::NAMES) {
            Ok(policies) => policies,
            Err(error) => {
                tracing::error!(%error, "a request could not be counted");
                return refused(request, Refusal::internal_error());
            }
        };
        let cost = P::cost(request);
        match admit(request, &policies, P::key(request), cost).await {
            Ok(pass) => Outcome::Success(Self { pass, policies: PhantomData }),
            Err(refusal) => refused(request, refusal),
        }
    }
}

/// Counts a request by those of the policies that have not counted it yet;
/// `None` for one that is not to be counted.
pub(crate) async fn admit(
    request: &Request<'_>,
    policies: &PolicySet,
    key: Option<Key>,
    cost: u64,
) -> Result<Option<Permit>, Refusal> {
    let failed = |error| Refusal::of_error(&error);
    let identified =
        policies.resolve_subjects(&RocketRequest(request), key.as_ref()).map_err(failed)?;
    let Some(subjects) = identified else { return Ok(None) };
    let visit = RequestState::of(request);
    let ask = policies.admission(subjects, visit.last_pass()).with_cost(cost);
    let decision = match ask.check_at_once() {
        Some(decision) => decision,
        // On the heap, so that nobody else's future has room for it.
        None => Box::pin(ask.check()).await.map_err(failed)?,
    };
    // What has counted it before is looked at, for the decision, and told once.
    let is_met = ask.is_met();
    let pass = ask.admit(decision)?;
    if !is_met {
        visit.pass(pass.clone());
    }
    Ok(Some(pass))
}

/// Counts a request before it is routed; a CORS preflight only where asked.
pub(crate) async fn admit_at_the_door(
    request: &Request<'_>,
    policies: &PolicySet,
    counts_preflight: bool,
) -> Result<(), Refusal> {
    if counts_preflight || !is_preflight(&RocketRequest(request)) {
        return admit(request, policies, None, 1).await.map(|_| ());
    }
    // Nothing is told of what is only looked at, and nothing struck.
    let failed = |error| Refusal::of_error(&error);
    let identified = policies.resolve_subjects(&RocketRequest(request), None).map_err(failed)?;
    let Some(subjects) = identified else { return Ok(()) };
    let decision = policies.check(&subjects, 0).await.map_err(failed)?;
    policies.refusal(&decision).map_or(Ok(()), Err)
}

fn refused<T>(request: &Request<'_>, refusal: Refusal) -> Outcome<T, Refused> {
    RequestState::of(request).refuse(refusal.clone());
    Outcome::Error((Status::new(refusal.status()), Refused { refusal }))
}

const MISSING_FAIRING: &str = "a route has a RateLimited guard, but the fairing is not attached; \
                               write .attach(RateLimitFairing::from_config())";

impl<P: Policies> Sentinel for RateLimited<P> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let Some(managed) = rocket.state::<LimiterState>() else {
            tracing::error!("{MISSING_FAIRING}");
            return true;
        };
        match managed.policies(TypeId::of::<P>(), P::NAMES) {
            Ok(_) => false,
            Err(error) => {
                let name = P::NAMES.iter().find(|name| managed.limiter().policy(name).is_err());
                let name = name.copied().unwrap_or_default();
                tracing::error!(
                    "{error}; write [default.limiter.policies.{name}] with a quota in Rocket.toml"
                );
                true
            }
        }
    }
}

//! [`RateLimited`], the guard that enforces.

use std::{fmt, marker::PhantomData, ops::Deref, sync::LazyLock};

use limiter_core::{
    AdmitOptions, Decision, Key, Permit, PolicySet, Quotas, Refusal, UnknownPolicy,
};
use rocket::{
    Ignite, Request, Rocket, Sentinel,
    request::{FromRequest, Outcome},
};

use crate::{
    admission::{admit, refuse},
    fairing::report,
    limiter_state::LimiterState,
    refused::Refused,
};

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
#[diagnostic::on_unimplemented(
    message = "`{Self}` names no policies for a `RateLimited` guard",
    label = "not the name of policies",
    note = "name a policy of the configuration: `limiter_rocket::policy!(Login = \"login\");`, \
            then `RateLimited<Login>`"
)]
pub trait Policies: Send + Sync + 'static {
    /// The names, as configured. They are decided together, unless
    /// [`choose`](Self::choose) takes some of them for a request.
    const NAMES: &'static [&'static str];

    /// The policies for this request, some of [`NAMES`](Self::NAMES), such as by
    /// the client's plan. Defaults to all of them.
    ///
    /// ```
    /// use limiter_rocket::Policies;
    /// use rocket::Request;
    ///
    /// struct Plan;
    ///
    /// impl Policies for Plan {
    ///     const NAMES: &'static [&'static str] = &["free", "paying"];
    ///
    ///     fn choose(request: &Request<'_>) -> &'static [&'static str] {
    ///         const FREE: &[&str] = &["free"];
    ///         const PAYING: &[&str] = &["paying"];
    ///         // Set by an earlier guard, once the account is known.
    ///         let pays = request.local_cache(|| false);
    ///         if *pays { PAYING } else { FREE }
    ///     }
    /// }
    /// ```
    #[must_use]
    fn choose(request: &Request<'_>) -> &'static [&'static str] {
        let _ = request;
        Self::NAMES
    }

    /// The key to count, instead of the policies' own. Never let a client choose
    /// it freely: each new key is a new count. Defaults to `None`: the policies'
    /// keys.
    #[must_use]
    fn key(request: &Request<'_>) -> Option<Key> {
        let _ = request;
        None
    }

    /// The quotas of this request for one of [`NAMES`](Self::NAMES), instead of the
    /// policy's own: by the plan of its client. Defaults to `None`: the policy's.
    ///
    /// It is called for each request, so it returns a clone of what the application has
    /// made before, and looks nothing up: a guard before this one has found the plan.
    /// See [`PolicySet::with_quotas`](limiter_core::PolicySet::with_quotas) for what
    /// counts in which counters.
    ///
    /// ```
    /// use std::sync::LazyLock;
    /// use limiter_rocket::{Policies, Quotas};
    /// use rocket::Request;
    ///
    /// struct Api;
    ///
    /// static PAYING: LazyLock<Quotas> = LazyLock::new(|| "50/hour".parse().unwrap());
    ///
    /// impl Policies for Api {
    ///     const NAMES: &'static [&'static str] = &["api"];
    ///
    ///     fn quotas(request: &Request<'_>, _policy: &str) -> Option<Quotas> {
    ///         // Set by an earlier guard, once the account is known.
    ///         let pays = request.local_cache(|| false);
    ///         pays.then(|| PAYING.clone())
    ///     }
    /// }
    /// ```
    #[must_use]
    fn quotas(request: &Request<'_>, policy: &str) -> Option<Quotas> {
        let _ = (request, policy);
        None
    }

    /// The units that the request takes; 0 only looks. Defaults to 1.
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

const MISSING_FAIRING: &str = "a route has a RateLimited guard, but the fairing is not attached; \
                               write .attach(RateLimitFairing::from_config())";

impl<P: Policies> Sentinel for RateLimited<P> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let Some(state) = rocket.state::<LimiterState>() else {
            report(rocket.figment(), MISSING_FAIRING);
            return true;
        };
        match state.policies(P::NAMES) {
            Ok(_) => false,
            Err(error) => {
                let name = P::NAMES.iter().find(|name| state.limiter().policy(name).is_err());
                let name = name.copied().unwrap_or_default();
                let message = format!(
                    "{error}; write [default.limiter.policies.{name}] with a quota in Rocket.toml"
                );
                report(rocket.figment(), &message);
                true
            }
        }
    }
}

//! [`RateLimit`]: what to limit by, set up once and cloned into every worker.

use std::{fmt, panic::Location, sync::Arc};

use actix_web::{HttpResponse, dev::ServiceRequest};
use limiter_core::{ConfigError, Exemptions, Key, PolicySet, Quotas, Refusal};

type Choose = dyn Fn(&ServiceRequest) -> PolicySet + Send + Sync;
type Predicate = dyn Fn(&ServiceRequest) -> bool + Send + Sync;
type KeyOf = dyn Fn(&ServiceRequest) -> Key + Send + Sync;
type QuotasOf = dyn Fn(&ServiceRequest) -> Option<Quotas> + Send + Sync;
type CostOf = dyn Fn(&ServiceRequest) -> u64 + Send + Sync;
type ResponseOf = dyn Fn(&ServiceRequest, &Refusal) -> HttpResponse + Send + Sync;

/// Middleware that checks each request against one or several policies.
///
/// Wrap an `App`, a scope, a resource or a handler with it. Clones share
/// everything, so that all workers count together. See the
/// [crate's docs](crate) for an example.
#[derive(Clone)]
#[must_use]
pub struct RateLimit {
    pub(crate) source: Source,
    pub(crate) options: Options,
    /// The place in the code where this was made.
    pub(crate) place: &'static Location<'static>,
}

/// Where the policies are from.
#[derive(Clone)]
pub(crate) enum Source {
    Given(PolicySet),
    /// To be looked up in the `Limiter` of the application's data.
    Named(Arc<[String]>),
    /// Chosen for each request.
    Chosen(Arc<Choose>),
}

#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) key: Option<Arc<KeyOf>>,
    pub(crate) cost: Option<Arc<CostOf>>,
    pub(crate) plans: Vec<PlanOf>,
    pub(crate) skip: Option<Arc<Predicate>>,
    pub(crate) exempt: Arc<Exemptions>,
    pub(crate) respond: Option<Arc<ResponseOf>>,
}

/// The quotas that a policy has for a request, instead of its own.
#[derive(Clone)]
pub(crate) struct PlanOf {
    pub(crate) policy: Arc<str>,
    pub(crate) quotas: Arc<QuotasOf>,
}

impl RateLimit {
    /// Checks requests against policies of a limiter:
    /// `limiter.policy("api")?`, or `limiter.policies(["burst", "daily"])?`,
    /// which are decided together.
    ///
    /// Make it outside of the closure that `HttpServer` is given, and clone it
    /// inside.
    #[track_caller]
    pub fn new(policies: PolicySet) -> Self {
        Self::of(Source::Given(policies))
    }

    /// Checks requests against the policy of that name, for places where there
    /// is no handle at hand: `#[get("/x", wrap = "RateLimit::named(\"api\")")]`.
    ///
    /// The limiter is found in the application's data:
    /// `App::new().app_data(limiter.clone())`, a `web::Data<Limiter>` as well.
    /// Without it, or without the policy, every request is answered with 500
    /// and an error is logged.
    #[track_caller]
    pub fn named(policy: &str) -> Self {
        Self::named_all([policy])
    }

    /// Checks requests against several policies together, found as by
    /// [`named`](Self::named).
    #[track_caller]
    pub fn named_all<'a>(policies: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(Source::Named(policies.into_iter().map(str::to_owned).collect()))
    }

    /// Checks each request against the policies that `choose` returns for it,
    /// such as by the client's plan. All have to be of one limiter; make the sets
    /// once, before the server starts:
    ///
    /// ```
    /// use actix_web::HttpMessage;
    /// use limiter_actix::{Limiter, RateLimit, UnknownPolicy};
    ///
    /// #[derive(Clone, Copy)]
    /// struct Paying;
    ///
    /// fn by_plan(limiter: &Limiter) -> Result<RateLimit, UnknownPolicy> {
    ///     let (free, paying) = (limiter.policy("free")?, limiter.policy("paying")?);
    ///     Ok(RateLimit::by(move |request| {
    ///         let pays = request.extensions().contains::<Paying>();
    ///         if pays { paying.clone() } else { free.clone() }
    ///     }))
    /// }
    /// # let _ = by_plan;
    /// ```
    #[track_caller]
    pub fn by(choose: impl Fn(&ServiceRequest) -> PolicySet + Send + Sync + 'static) -> Self {
        Self::of(Source::Chosen(Arc::new(choose)))
    }

    /// Counts by what `key` finds, instead of by the policies' own keys.
    ///
    /// Never let a client choose it freely: each new key is a new count.
    pub fn key(mut self, key: impl Fn(&ServiceRequest) -> Key + Send + Sync + 'static) -> Self {
        self.options.key = Some(Arc::new(key));
        self
    }

    /// Counts each request by the quotas that `quotas` returns for it, instead of those of
    /// that policy: by the plan of its client. For `None` the policy's own count.
    ///
    /// It is called for each request, so it returns a clone of what the application has
    /// made before, and looks nothing up: the authentication has found the plan, and
    /// has put it into the request's extensions. See
    /// [`PolicySet::with_quotas`] for what counts in which counters. A policy that the
    /// middleware does not have is answered with 500, and an error is logged.
    ///
    /// ```
    /// use actix_web::HttpMessage;
    /// use limiter_actix::{ConfigError, Limiter, Quotas, RateLimit};
    ///
    /// #[derive(Clone, Copy)]
    /// struct Paying;
    ///
    /// fn by_plan(limiter: &Limiter) -> Result<RateLimit, Box<dyn std::error::Error>> {
    ///     let paying: Quotas = "50/hour".parse()?;
    ///     Ok(RateLimit::new(limiter.policy("api")?).quotas("api", move |request| {
    ///         request.extensions().contains::<Paying>().then(|| paying.clone())
    ///     }))
    /// }
    /// # let _ = by_plan;
    /// ```
    pub fn quotas(
        mut self,
        policy: &str,
        quotas: impl Fn(&ServiceRequest) -> Option<Quotas> + Send + Sync + 'static,
    ) -> Self {
        self.options.plans.push(PlanOf { policy: policy.into(), quotas: Arc::new(quotas) });
        self
    }

    /// Charges what `cost` says; 0 only looks. Defaults to 1.
    pub fn cost(mut self, cost: impl Fn(&ServiceRequest) -> u64 + Send + Sync + 'static) -> Self {
        self.options.cost = Some(Arc::new(cost));
        self
    }

    /// Lets requests to an endpoint pass, uncounted and unseen by this limit:
    /// `"GET /health"`, or `"/metrics"` for all methods. Call it once for each
    /// endpoint. Other limits still count them; an endpoint that is exempt
    /// everywhere belongs into the configuration, `exempt = ["GET /health"]`.
    ///
    /// The endpoint is the whole pattern of a route, those of its scopes
    /// included, and is found by the route that the path leads to: see
    /// [`Exemptions`].
    ///
    /// ```
    /// use limiter_actix::{Limiter, RateLimit};
    ///
    /// fn door(limiter: &Limiter) -> Result<RateLimit, Box<dyn std::error::Error>> {
    ///     let door = RateLimit::new(limiter.policy("door")?);
    ///     Ok(door.exempt("GET /health")?.exempt("/api/{version}/status")?)
    /// }
    /// # let _ = door;
    /// ```
    ///
    /// # Errors
    /// If that is no endpoint.
    pub fn exempt(mut self, endpoint: &str) -> Result<Self, ConfigError> {
        let exempt = Exemptions::clone(&self.options.exempt);
        self.options.exempt = Arc::new(exempt.with(endpoint)?);
        Ok(self)
    }

    /// Lets requests pass, uncounted and unseen, for which `skip` returns true.
    /// Defaults to none.
    ///
    /// Not for paths: a middleware sees `/l%6Fgin` and `//login` before they are
    /// routed to `/login`, and `request.match_pattern()` is none then. An endpoint
    /// is for [`exempt`](Self::exempt). Nor for methods and headers, which are the
    /// client's word: a handler for any method would run for nothing, and a
    /// secret in a header belongs into an authentication. It is for what the
    /// application itself knows of a request, such as an extension that an outer
    /// middleware has set.
    pub fn skip(mut self, skip: impl Fn(&ServiceRequest) -> bool + Send + Sync + 'static) -> Self {
        self.options.skip = Some(Arc::new(skip));
        self
    }

    /// Answers refused requests, blocked ones (403), and those that cannot be
    /// counted (400, 500, 503), with what `respond` makes. Header fields that
    /// it leaves out (`Retry-After`, `RateLimit`) are added. Defaults to
    /// [`refusal_response`](crate::refusal_response).
    pub fn on_refusal(
        mut self,
        respond: impl Fn(&ServiceRequest, &Refusal) -> HttpResponse + Send + Sync + 'static,
    ) -> Self {
        self.options.respond = Some(Arc::new(respond));
        self
    }

    #[track_caller]
    fn of(source: Source) -> Self {
        Self { source, options: Options::default(), place: Location::caller() }
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RateLimit");
        match &self.source {
            Source::Given(policies) => debug.field("policies", policies),
            Source::Named(names) => debug.field("policies", names),
            Source::Chosen(_) => &mut debug,
        };
        debug.finish_non_exhaustive()
    }
}

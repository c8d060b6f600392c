//! [`RateLimit`]: what to limit by, set up once and cloned into every worker.

use std::{fmt, sync::Arc};

use actix_web::{HttpResponse, dev::ServiceRequest};
use limiter_core::{Key, PolicySet, Refusal};

type Predicate = dyn Fn(&ServiceRequest) -> bool + Send + Sync;
type KeyOf = dyn Fn(&ServiceRequest) -> Key + Send + Sync;
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
}

/// Where the policies are from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Given(PolicySet),
    /// To be looked up in the `Limiter` of the application's data.
    Named(Arc<[String]>),
}

#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) key: Option<Arc<KeyOf>>,
    pub(crate) cost: Option<Arc<CostOf>>,
    pub(crate) skip: Option<Arc<Predicate>>,
    pub(crate) respond: Option<Arc<ResponseOf>>,
    pub(crate) counts_preflight: bool,
}

impl RateLimit {
    /// Checks requests against policies of a limiter:
    /// `limiter.policy("api")?`, or `limiter.policies(["burst", "daily"])?`,
    /// which are decided together.
    ///
    /// Make it outside of the closure that `HttpServer` is given, and clone it
    /// inside.
    pub fn new(policies: PolicySet) -> Self {
        Self { source: Source::Given(policies), options: Options::default() }
    }

    /// Checks requests against the policy of that name, for places where there
    /// is no handle at hand: `#[get("/x", wrap = "RateLimit::named(\"api\")")]`.
    ///
    /// The limiter is found in the application's data:
    /// `App::new().app_data(limiter.clone())`, a `web::Data<Limiter>` as well.
    /// Without it, or without the policy, every request is answered with 500
    /// and an error is logged.
    pub fn named(policy: &str) -> Self {
        Self::named_all([policy])
    }

    /// Checks requests against several policies together, found as by
    /// [`named`](Self::named).
    pub fn named_all<'a>(policies: impl IntoIterator<Item = &'a str>) -> Self {
        let names = policies.into_iter().map(str::to_owned).collect();
        Self { source: Source::Named(names), options: Options::default() }
    }

    /// Counts by what `key` finds, instead of by the policies' own keys.
    ///
    /// Never let a client choose it freely: each new key is a new count.
    pub fn key(mut self, key: impl Fn(&ServiceRequest) -> Key + Send + Sync + 'static) -> Self {
        self.options.key = Some(Arc::new(key));
        self
    }

    /// Charges what `cost` says; 0 only looks. Defaults to 1.
    pub fn cost(mut self, cost: impl Fn(&ServiceRequest) -> u64 + Send + Sync + 'static) -> Self {
        self.options.cost = Some(Arc::new(cost));
        self
    }

    /// Lets pass, uncounted and unseen, what `skip` says. Defaults to nothing.
    ///
    /// Decide by what was matched (`request.match_pattern()`) rather than by
    /// the path as sent.
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

    /// Sets whether CORS preflights count, which browsers send by themselves.
    /// Defaults to false; a banned client is refused in any case.
    pub fn count_preflight(mut self, counts_preflight: bool) -> Self {
        self.options.counts_preflight = counts_preflight;
        self
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("source", &self.source).finish_non_exhaustive()
    }
}

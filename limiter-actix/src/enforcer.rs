//! What stands before the wrapped service: extract and ask.

use std::{cell::OnceCell, fmt, rc::Rc};

use actix_web::{HttpMessage, HttpResponse, dev::ServiceRequest, http::header::HeaderValue, web};
use limiter_core::{Admission, Decision, Error, Limiter, Permit, PolicySet, Refusal, is_preflight};

use crate::{
    permit_guard::PermitGuard,
    rate_limit::{Options, RateLimit, Source},
    request::ActixRequest,
    response::{add_fields, refusal_response},
};

/// How actix-web names the threads that serve requests: under a plain tokio
/// runtime, and under its own.
const WORKERS: [&str; 2] = ["actix-server worker", "actix-rt|system:"];

/// What stands before the wrapped service.
pub(crate) struct Enforcer {
    source: Source,
    options: Options,
    resolved: OnceCell<ResolvedPolicies>,
}

/// The policies, and what is the same in all responses.
struct ResolvedPolicies {
    policies: PolicySet,
    policy_field: Option<HeaderValue>,
}

impl fmt::Debug for Enforcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enforcer").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A request that is to be counted.
pub(crate) struct PreparedRequest {
    pub(crate) ask: Admission,
    /// Whether it is only looked at whether its client is banned.
    looks: bool,
}

impl ResolvedPolicies {
    fn new(policies: PolicySet) -> Self {
        let policy_field = policies.policy_field().and_then(|text| text.parse().ok());
        Self { policies, policy_field }
    }
}

impl Enforcer {
    /// `None` for a limiter that was built by a worker.
    pub(crate) fn new(limit: &RateLimit) -> Option<Self> {
        let resolved = OnceCell::new();
        if let Source::Given(given) = &limit.source {
            if is_per_worker(given.limiter()) {
                return None;
            }
            resolved.get_or_init(|| ResolvedPolicies::new(given.clone()));
        }
        Some(Self { source: limit.source.clone(), options: limit.options.clone(), resolved })
    }

    /// Finds whom a request counts against, if it is to be counted: `None` is a
    /// way past.
    #[allow(clippy::result_large_err, reason = "a refusal is what it is, and rare")]
    pub(crate) fn prepare(
        &self,
        request: &ServiceRequest,
    ) -> Result<Option<PreparedRequest>, HttpResponse> {
        if self.options.skip.as_ref().is_some_and(|skip| skip(request)) {
            return Ok(None);
        }
        let policies = self.policies(request).map_err(|refusal| self.refuse(request, &refusal))?;
        let key = self.options.key.as_ref().map(|key| key(request));
        let identified = policies.resolve_subjects(&ActixRequest(request), key.as_ref());
        let Some(subjects) = identified.map_err(|error| self.fail(request, &error))? else {
            return Ok(None);
        };
        let ask = policies.admission(subjects, request.extensions().get::<Permit>().cloned());
        if ask.is_met() {
            return Ok(None);
        }
        let looks = !self.options.counts_preflight && is_preflight(&ActixRequest(request));
        let cost = match &self.options.cost {
            _ if looks => 0,
            Some(cost) => cost(request),
            None => 1,
        };
        Ok(Some(PreparedRequest { ask: ask.with_cost(cost), looks }))
    }

    /// Refuses what was decided so, and notes what passes.
    #[allow(clippy::result_large_err, reason = "a refusal is what it is, and rare")]
    pub(crate) fn admit(
        self: &Rc<Self>,
        request: &ServiceRequest,
        prepared: PreparedRequest,
        decision: Decision,
    ) -> Result<Option<PermitGuard>, HttpResponse> {
        let admitted = prepared.ask.admit(decision);
        let permit = admitted.map_err(|refusal| self.refuse(request, &refusal))?;
        if prepared.looks {
            return Ok(None);
        }
        request.extensions_mut().insert(permit.clone());
        Ok(Some(PermitGuard::new(permit, Rc::clone(self))))
    }

    /// The response where a request could not be decided.
    pub(crate) fn fail(&self, request: &ServiceRequest, error: &Error) -> HttpResponse {
        self.refuse(request, &Refusal::of_error(error))
    }

    /// The policy field that nearly every response has.
    pub(crate) fn policy_field(&self) -> Option<&HeaderValue> {
        self.resolved.get()?.policy_field.as_ref()
    }

    fn policies(&self, request: &ServiceRequest) -> Result<&PolicySet, Refusal> {
        if let Some(resolved) = self.resolved.get() {
            return Ok(&resolved.policies);
        }
        let Source::Named(names) = &self.source else {
            unreachable!("given policies are set when the service is made");
        };
        let data = request.app_data::<web::Data<Limiter>>().map(|data| data.get_ref());
        let Some(limiter) = data.or_else(|| request.app_data::<Limiter>()) else {
            tracing::error!(
                policies = ?names,
                "there is no Limiter in the application's data; \
                 write App::new().app_data(limiter.clone())"
            );
            return Err(Refusal::internal_error());
        };
        if is_per_worker(limiter) {
            return Err(Refusal::internal_error());
        }
        let policies = limiter
            .policies(names.iter().map(String::as_str))
            .map_err(|error| Refusal::of_error(&error.into()))?;
        Ok(&self.resolved.get_or_init(|| ResolvedPolicies::new(policies)).policies)
    }

    fn refuse(&self, request: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
        let Some(respond) = &self.options.respond else {
            return refusal_response(refusal);
        };
        let mut response = respond(request, refusal);
        let headers = response.headers_mut();
        let told = |name: &str| headers.contains_key(name) || name == "content-type";
        let missing = refusal.fields().iter().filter(|(name, _)| !told(name)).cloned();
        add_fields(headers, missing.collect(), None);
        response
    }
}

/// A limiter that was built on the thread of a worker counts that worker's
/// requests alone: the limit would be multiplied by the number of workers.
fn is_per_worker(limiter: &Limiter) -> bool {
    let per_worker = WORKERS.iter().any(|worker| limiter.built_on().starts_with(worker));
    if per_worker {
        let message = "this limiter was built inside of the closure that HttpServer is given, \
                       so that each worker would count for itself; build it before, \
                       and clone the RateLimit inside";
        tracing::error!("{message}");
    }
    per_worker
}

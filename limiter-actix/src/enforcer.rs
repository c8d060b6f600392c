//! The policies of one service: admit a request, render a refusal.

use std::{
    cell::{Ref, RefCell},
    fmt,
    sync::Arc,
};

use actix_web::{HttpMessage, HttpResponse, dev::ServiceRequest, http::header::HeaderValue, web};
use limiter_core::{Admission, AdmitOptions, Answer, Limiter, Permit, PolicySet, Refusal};

use crate::{
    extractor::{Uncounted, permit},
    limiter_per_worker::ListenerLimiter,
    rate_limit::{Options, PlanOf, RateLimit, Source},
    request::ActixRequest,
    response::{RefusedByLimiter, add_missing_fields, refusal_response_with},
    unmatched_exemptions::warn_of_unmatched,
};

/// The policies of a service, and the parts that are the same in all its responses.
pub(crate) struct Enforcer {
    limit: RateLimit,
    resolved: RefCell<Option<Resolved>>,
}

/// The policies as the first request has found them, or the first one after a reload.
struct Resolved {
    policies: PolicySet,
    policy_field: Option<HeaderValue>,
    listener: ListenerLimiter,
}

impl fmt::Debug for Enforcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Enforcer").field(&self.limit).finish()
    }
}

impl Enforcer {
    pub(crate) const fn new(limit: RateLimit) -> Self {
        Self { limit, resolved: RefCell::new(None) }
    }

    /// Admits a request, at once where the store is this process's memory.
    pub(crate) fn admit(&self, request: &ServiceRequest) -> Answer<'static, Admission, Refusal> {
        let Options { key, cost, skip, exempt, .. } = &self.limit.options;
        let request_info = ActixRequest(request.request());
        if exempt.contains(&request_info) || skip.as_ref().is_some_and(|skip| skip(request)) {
            request.extensions_mut().insert(Uncounted);
            return Answer::ready(Ok(Admission::Exempt));
        }
        let mut options = AdmitOptions::default().after(permit(request.request()));
        if let Some(key) = key {
            options = options.with_key(Some(key(request)));
        }
        if let Some(cost) = cost {
            options = options.with_cost(cost(request));
        }
        match self.policies(request).and_then(|policies| self.with_quotas(policies, request)) {
            Ok(policies) => {
                let answer = policies.admit(&request_info, options);
                if matches!(answer, Answer::Ready(Some(Ok(Admission::Exempt)))) {
                    // No permit names the limiter to `client_ip`.
                    request.extensions_mut().insert(policies.limiter().clone());
                    request.extensions_mut().insert(Uncounted);
                }
                answer
            }
            Err(refusal) => Answer::ready(Err(refusal)),
        }
    }

    /// Returns the response to a request that does not pass.
    pub(crate) fn refuse(&self, request: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
        let mut response = match &self.limit.options.respond {
            None => refusal_response_with(refusal, self.policy_field().as_deref()),
            Some(respond) => {
                let mut response = respond(request, refusal);
                add_missing_fields(response.headers_mut(), refusal);
                response
            }
        };
        // The mark is for a limit further out, which has given the request a permit.
        if request.extensions().contains::<Permit>() {
            response.extensions_mut().insert(RefusedByLimiter);
        }
        response
    }

    /// Returns the value of `ratelimit-policy` that nearly every response has.
    pub(crate) fn policy_field(&self) -> Option<Ref<'_, HeaderValue>> {
        let resolved = self.resolved.borrow();
        Ref::filter_map(resolved, |resolved| resolved.as_ref()?.policy_field.as_ref()).ok()
    }

    fn policies(&self, request: &ServiceRequest) -> Result<PolicySet, Refusal> {
        let chosen = match &self.limit.source {
            Source::Chosen(choose) => Some(choose(request)),
            Source::Given(_) | Source::Named(_) => None,
        };
        let mut resolved = self.resolved.borrow_mut();
        let resolved = match &mut *resolved {
            Some(resolved) => resolved,
            none => {
                let policies = self.limit.source.find(request, chosen.as_ref())?;
                none.insert(self.resolve(request, policies))
            }
        };
        resolved.listener.check()?;
        if !resolved.policies.is_current() {
            resolved.replace(resolved.policies.current());
        }
        match chosen {
            None => Ok(resolved.policies.clone()),
            Some(chosen) if chosen.limiter() == resolved.policies.limiter() => Ok(chosen),
            Some(_) => Err(Refusal::misconfigured(
                "RateLimit::by has chosen policies of two limiters; make them from one",
            )),
        }
    }

    /// Returns the policies with the quotas of a request.
    fn with_quotas(
        &self,
        mut policies: PolicySet,
        request: &ServiceRequest,
    ) -> Result<PolicySet, Refusal> {
        for PlanOf { policy, quotas } in &self.limit.options.plans {
            // Also where the request has no plan: else a wrong name fails for paying clients.
            policies.require(policy).map_err(|error| Refusal::of_error(&error.into()))?;
            if let Some(quotas) = quotas(request) {
                let derived = policies.with_quotas(policy, &quotas);
                policies = derived.map_err(|error| Refusal::of_error(&error.into()))?;
            }
        }
        Ok(policies)
    }

    fn resolve(&self, request: &ServiceRequest, policies: PolicySet) -> Resolved {
        let limiter = policies.limiter().clone();
        let listener = ListenerLimiter::register(request.app_config(), self.limit.place, limiter);
        let policy_field = policy_field(&policies);
        let own = &self.limit.options.exempt;
        let everywhere = policies.limiter().exemptions();
        warn_of_unmatched(request, own.patterns().chain(everywhere.patterns()));
        Resolved { policies, policy_field, listener }
    }
}

impl Resolved {
    fn replace(&mut self, policies: PolicySet) {
        self.policy_field = policy_field(&policies);
        self.policies = policies;
    }
}

fn policy_field(policies: &PolicySet) -> Option<HeaderValue> {
    policies.policy_field().and_then(|text| text.parse().ok())
}

impl Source {
    /// Returns the policies, those that are named from the application's data.
    fn find(
        &self,
        request: &ServiceRequest,
        chosen: Option<&PolicySet>,
    ) -> Result<PolicySet, Refusal> {
        let names = match (self, chosen) {
            (Self::Given(policies), _) | (Self::Chosen(_), Some(policies)) => {
                return Ok(policies.clone());
            }
            (Self::Named(names), _) => Arc::clone(names),
            (Self::Chosen(_), None) => unreachable!("it has just been chosen"),
        };
        let data = request.app_data::<web::Data<Limiter>>().map(|data| data.get_ref());
        let Some(limiter) = data.or_else(|| request.app_data::<Limiter>()) else {
            return Err(Refusal::misconfigured(format!(
                "RateLimit::named({:?}) finds no Limiter in the application's data; \
                 write App::new().app_data(limiter.clone())",
                names.join(", ")
            )));
        };
        let policies = limiter.policies(names.iter().map(String::as_str));
        policies.map_err(|error| Refusal::of_error(&error.into()))
    }
}

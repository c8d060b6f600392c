//! The middleware's service: extract, admit, call or refuse.

use std::{
    cell::OnceCell,
    fmt,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse},
    http::header::HeaderValue,
    web,
};
use limiter_core::{Admission, AdmitOptions, Answer, Limiter, Permit, PolicySet, Refusal};

use crate::{
    future::{PermitGuard, RateLimitFuture},
    rate_limit::{Options, RateLimit, Source},
    request::ActixRequest,
    response::{RefusedByLimiter, add_missing_fields, refusal_response},
    shared_limiter::ListenerLimiter,
};

/// The service that [`RateLimit`] wraps another with.
#[doc(hidden)]
#[derive(Debug)]
pub struct RateLimitService<S> {
    service: Rc<S>,
    enforcer: Rc<Enforcer>,
}

impl<S> RateLimitService<S> {
    pub(crate) fn new(service: S, limit: RateLimit) -> Self {
        let enforcer = Enforcer { limit, known: OnceCell::new() };
        Self { service: Rc::new(service), enforcer: Rc::new(enforcer) }
    }
}

impl<S, B> Service<ServiceRequest> for RateLimitService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B, BoxBody>>;
    type Error = Error;
    type Future = RateLimitFuture<S, B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        match self.enforcer.admit(&request) {
            Answer::Ready(admission) => {
                let admission = admission.expect("an answer is taken once");
                RateLimitFuture::admitted(&*self.service, &self.enforcer, request, admission)
            }
            Answer::Pending(admission) => {
                let (service, enforcer) = (Rc::clone(&self.service), Rc::clone(&self.enforcer));
                RateLimitFuture::Waiting { admission, request: Some(request), service, enforcer }
            }
        }
    }
}

/// The policies of a service, and what is the same in all its responses.
pub(crate) struct Enforcer {
    limit: RateLimit,
    known: OnceCell<Known>,
}

/// What the first request has shown.
struct Known {
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
    fn admit(&self, request: &ServiceRequest) -> Answer<'static, Admission, Refusal> {
        let Options { key, cost, skip, .. } = &self.limit.options;
        if skip.as_ref().is_some_and(|skip| skip(request)) {
            return Answer::ready(Ok(Admission::Exempt));
        }
        let mut options =
            AdmitOptions::default().after(request.extensions().get::<Permit>().cloned());
        if let Some(key) = key {
            options = options.with_key(Some(key(request)));
        }
        if let Some(cost) = cost {
            options = options.with_cost(cost(request));
        }
        let request_info = ActixRequest(request.request());
        match self.policies(request) {
            Ok(policies) => policies.admit(&request_info, options),
            Err(refusal) => Answer::ready(Err(refusal)),
        }
    }

    /// Keeps the permit of a counted request with it.
    pub(crate) fn keep(
        self: &Rc<Self>,
        request: &ServiceRequest,
        admission: Admission,
    ) -> Option<PermitGuard> {
        let Admission::Counted(permit) = admission else { return None };
        request.extensions_mut().insert(permit.clone());
        Some(PermitGuard::new(permit, Rc::clone(self)))
    }

    /// The response to a request that does not pass.
    pub(crate) fn refuse(&self, request: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
        let mut response = match &self.limit.options.respond {
            None => refusal_response(refusal),
            Some(respond) => {
                let mut response = respond(request, refusal);
                add_missing_fields(response.headers_mut(), refusal);
                response
            }
        };
        response.extensions_mut().insert(RefusedByLimiter);
        response
    }

    /// The value of `ratelimit-policy` that nearly every response has.
    pub(crate) fn policy_field(&self) -> Option<&HeaderValue> {
        self.known.get()?.policy_field.as_ref()
    }

    fn policies(&self, request: &ServiceRequest) -> Result<PolicySet, Refusal> {
        let chosen = match &self.limit.source {
            Source::Chosen(choose) => Some(choose(request)),
            Source::Given(_) | Source::Named(_) => None,
        };
        let known = match self.known.get() {
            Some(known) => known,
            None => {
                let policies = self.limit.source.find(request, chosen.as_ref())?;
                self.known.get_or_init(|| self.know(request, policies))
            }
        };
        known.listener.check()?;
        match chosen {
            None => Ok(known.policies.clone()),
            Some(chosen) if chosen.limiter() == known.policies.limiter() => Ok(chosen),
            Some(_) => Err(Refusal::misconfigured(
                "RateLimit::by has chosen policies of two limiters; make them from one",
            )),
        }
    }

    fn know(&self, request: &ServiceRequest, policies: PolicySet) -> Known {
        let limiter = policies.limiter().clone();
        let listener = ListenerLimiter::register(request.app_config(), self.limit.place, limiter);
        let policy_field = policies.policy_field().and_then(|text| text.parse().ok());
        Known { policies, policy_field, listener }
    }
}

impl Source {
    /// The policies, those that are named from the application's data.
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

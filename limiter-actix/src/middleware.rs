//! The middleware: extract, ask, render.

use std::{
    cell::OnceCell,
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    web,
};
use limiter_core::{Limiter, Met, PolicySet, Refusal, Subjects, Verdict, is_preflight};

use crate::{
    config::{Options, RateLimit, Source},
    facts::ActixFacts,
    response::{add_fields, refusal_response},
};

/// How actix-web names the threads that serve requests: under a plain tokio
/// runtime, and under its own.
const WORKERS: [&str; 2] = ["actix-server worker", "actix-rt|system:"];

type LocalBoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T>>>;

impl<S, B> Transform<S, ServiceRequest> for RateLimit
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = RateLimitService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let policies = OnceCell::new();
        if let Source::Given(given) = &self.source {
            if is_per_worker(given.limiter()) {
                return ready(Err(()));
            }
            let _ = policies.set(given.clone());
        }
        let gate =
            Rc::new(Gate { source: self.source.clone(), options: self.options.clone(), policies });
        ready(Ok(RateLimitService { service: Rc::new(service), gate }))
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

/// The service that [`RateLimit`] wraps another with.
#[doc(hidden)]
#[derive(Debug)]
pub struct RateLimitService<S> {
    service: Rc<S>,
    gate: Rc<Gate>,
}

impl<S, B> Service<ServiceRequest> for RateLimitService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<Result<Self::Response, Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (service, gate) = (Rc::clone(&self.service), Rc::clone(&self.gate));
        Box::pin(async move {
            let pass = match gate.enter(&request).await {
                Ok(pass) => pass,
                Err(mut refused) => {
                    refused.extensions_mut().insert(RefusedHere);
                    return Ok(request.into_response(refused).map_into_right_body());
                }
            };
            let result = service.call(request).await;
            match pass {
                Some(pass) => pass.leave(result).await,
                None => result,
            }
            .map(ServiceResponse::map_into_left_body)
        })
    }
}

/// What stands before the wrapped service.
struct Gate {
    source: Source,
    options: Options,
    policies: OnceCell<PolicySet>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Marks a limiter's own response, which is no outcome that an outer limiter
/// should count.
struct RefusedHere;

/// A counted request on its way.
struct Pass {
    policies: PolicySet,
    subjects: Subjects,
    fields: limiter_core::Fields,
}

impl Gate {
    /// Counts a request, if it is to be counted: `None` is a way past.
    async fn enter(&self, request: &ServiceRequest) -> Result<Option<Pass>, HttpResponse> {
        if self.options.skip.as_ref().is_some_and(|skip| skip(request)) {
            return Ok(None);
        }
        let facts = ActixFacts(request);
        let looks = !self.options.counts_preflight && is_preflight(&facts);
        let policies = self.policies(request)?;
        let subjects = match &self.options.key {
            Some(key) => policies.subjects_of(&key(request)),
            None => match policies.identify(&facts) {
                Ok(subjects) => subjects,
                Err(_) if looks => return Ok(None),
                Err(error) => return Err(failed(&error)),
            },
        };
        let Some((policies, subjects)) = not_met_before(request, &policies, subjects) else {
            return Ok(None);
        };
        let cost = match &self.options.cost {
            _ if looks => 0,
            Some(cost) => cost(request),
            None => 1,
        };
        let decision = policies.check(&subjects, cost).await.map_err(|error| failed(&error))?;
        if let Some(refusal) = policies.refusal(&decision) {
            return Err(self.refuse(request, &refusal));
        }
        if looks {
            return Ok(None);
        }
        debug_assert_eq!(decision.verdict(), Verdict::Allowed);
        let fields = policies.fields(&decision);
        let mut extensions = request.extensions_mut();
        met(&mut extensions).note(&policies, &subjects);
        extensions.insert(decision);
        Ok(Some(Pass { policies, subjects, fields }))
    }

    fn policies(&self, request: &ServiceRequest) -> Result<PolicySet, HttpResponse> {
        if let Some(policies) = self.policies.get() {
            return Ok(policies.clone());
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
            return Err(broken());
        };
        if is_per_worker(limiter) {
            return Err(broken());
        }
        let policies = limiter
            .policies(names.iter().map(String::as_str))
            .map_err(|error| failed(&error.into()))?;
        Ok(self.policies.get_or_init(|| policies).clone())
    }

    fn refuse(&self, request: &ServiceRequest, refusal: &Refusal) -> HttpResponse {
        let Some(respond) = &self.options.respond else {
            return refusal_response(refusal);
        };
        let mut response = respond(request, refusal);
        let headers = response.headers_mut();
        let told = |name: &str| headers.contains_key(name) || name == "content-type";
        let missing = refusal.fields().iter().filter(|(name, _)| !told(name)).cloned().collect();
        add_fields(headers, &missing);
        response
    }
}

impl Pass {
    /// Counts what the request came to, and tells the client what is left. An
    /// error stays the error it was.
    async fn leave<B>(
        self,
        mut result: Result<ServiceResponse<B>, Error>,
    ) -> Result<ServiceResponse<B>, Error> {
        let status = match &result {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        let refused = |response: &ServiceResponse<B>| {
            response.response().extensions().contains::<RefusedHere>()
        };
        if !result.as_ref().is_ok_and(refused) {
            self.policies.settle(&self.subjects, status.as_u16()).await;
        }
        if let Ok(response) = &mut result {
            add_fields(response.headers_mut(), &self.fields);
        }
        result
    }
}

/// What of the policies has not counted this request in an outer scope.
fn not_met_before(
    request: &ServiceRequest,
    policies: &PolicySet,
    subjects: Subjects,
) -> Option<(PolicySet, Subjects)> {
    match request.extensions().get::<Met>() {
        Some(met) => policies.unmet(subjects, met),
        None => Some((policies.clone(), subjects)),
    }
}

fn met(extensions: &mut actix_web::dev::Extensions) -> &mut Met {
    if !extensions.contains::<Met>() {
        extensions.insert(Met::default());
    }
    extensions.get_mut::<Met>().expect("it was just put there")
}

fn failed(error: &limiter_core::Error) -> HttpResponse {
    // That the store is away is logged by the limiter, once.
    if !matches!(error, limiter_core::Error::Unavailable(_)) {
        tracing::error!(%error, "a request could not be counted");
    }
    refusal_response(&Refusal::of_error(error))
}

/// The answer where the application was put together wrong.
fn broken() -> HttpResponse {
    refusal_response(&Refusal::broken())
}

//! What stands before and behind the wrapped service: extract and ask, then
//! settle and tell.

use std::{cell::OnceCell, fmt, thread};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    dev::{ServiceRequest, ServiceResponse},
    web,
};
use limiter_core::{
    Answer, Decision, Fields, Limiter, Met, PolicySet, Refusal, Settling, Subjects, is_preflight,
};

use crate::{
    config::{Options, RateLimit, Source},
    facts::ActixFacts,
    response::{add_fields, refusal_response},
};

/// How actix-web names the threads that serve requests: under a plain tokio
/// runtime, and under its own.
const WORKERS: [&str; 2] = ["actix-server worker", "actix-rt|system:"];

/// What stands for the status of a request that has none: see
/// [`PolicySet::settle`].
const HUNG_UP: u16 = 499;
const PANICKED: u16 = 500;

/// Marks a limiter's own response, which is no outcome that an outer limiter
/// should count.
pub(crate) struct RefusedHere;

/// What stands before the wrapped service.
pub(crate) struct Gate {
    source: Source,
    options: Options,
    policies: OnceCell<PolicySet>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A request that is to be counted.
pub(crate) struct Asked {
    policies: PolicySet,
    subjects: Subjects,
    met: Met,
    cost: u64,
    /// Whether it is only looked at whether its client is banned.
    looks: bool,
}

/// A counted request on its way. If it is given up, that is what it came to.
pub(crate) struct Pass {
    policies: PolicySet,
    subjects: Subjects,
    fields: Fields,
    met: Met,
    is_over: bool,
}

impl Gate {
    /// `None` for a limiter that was built by a worker.
    pub(crate) fn new(limit: &RateLimit) -> Option<Self> {
        let policies = OnceCell::new();
        if let Source::Given(given) = &limit.source {
            if is_per_worker(given.limiter()) {
                return None;
            }
            policies.get_or_init(|| given.clone());
        }
        Some(Self { source: limit.source.clone(), options: limit.options.clone(), policies })
    }

    /// Finds whom a request counts against, if it is to be counted: `None` is a
    /// way past.
    #[allow(clippy::result_large_err, reason = "a refusal is what it is, and rare")]
    pub(crate) fn prepare(&self, request: &ServiceRequest) -> Result<Option<Asked>, HttpResponse> {
        if self.options.skip.as_ref().is_some_and(|skip| skip(request)) {
            return Ok(None);
        }
        let looks = !self.options.counts_preflight && is_preflight(&ActixFacts(request));
        let met = met(request);
        let policies = self.policies(request).map_err(|refusal| self.refuse(request, &refusal))?;
        let key = self.options.key.as_ref().map(|key| key(request));
        let failed = |error| self.refuse(request, &Refusal::of_error(&error));
        let identified = policies.identify(&ActixFacts(request), key.as_ref()).map_err(failed)?;
        let unmet = identified.and_then(|subjects| policies.unmet(subjects, &met));
        let Some((policies, subjects)) = unmet else { return Ok(None) };
        let cost = match &self.options.cost {
            _ if looks => 0,
            Some(cost) => cost(request),
            None => 1,
        };
        Ok(Some(Asked { policies, subjects, met, cost, looks }))
    }

    /// Refuses what was decided so, and notes what passes.
    #[allow(clippy::result_large_err, reason = "a refusal is what it is, and rare")]
    pub(crate) fn admit(
        &self,
        request: &ServiceRequest,
        asked: Asked,
        decided: Result<Decision, limiter_core::Error>,
    ) -> Result<Option<Pass>, HttpResponse> {
        let Asked { policies, subjects, met, cost, looks } = asked;
        let refuse = |refusal: &Refusal| self.refuse(request, refusal);
        let decision = decided.map_err(|error| refuse(&Refusal::of_error(&error)))?;
        if let Some(refusal) = policies.refusal(&decision) {
            return Err(refuse(&refusal));
        }
        if looks {
            return Ok(None);
        }
        let fields = policies.fields(&decision);
        if cost > 0 {
            met.note(&policies, &subjects);
        }
        request.extensions_mut().insert(decision);
        Ok(Some(Pass { policies, subjects, fields, met, is_over: false }))
    }

    #[allow(clippy::result_large_err, reason = "a refusal is what it is, and rare")]
    fn policies(&self, request: &ServiceRequest) -> Result<PolicySet, Refusal> {
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
            return Err(Refusal::broken());
        };
        if is_per_worker(limiter) {
            return Err(Refusal::broken());
        }
        let policies = limiter
            .policies(names.iter().map(String::as_str))
            .map_err(|error| Refusal::of_error(&error.into()))?;
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
        add_fields(headers, missing);
        response
    }
}

impl Asked {
    /// The answer, if it is at hand.
    pub(crate) fn check_at_once(&self) -> Option<Decision> {
        self.policies.check_at_once(&self.subjects, self.cost)
    }

    pub(crate) fn check(&self) -> Answer<'_, Decision, limiter_core::Error> {
        self.policies.check(&self.subjects, self.cost)
    }
}

impl Pass {
    /// Counts what the request came to, and tells the client what is left. An
    /// error stays the error it was.
    pub(crate) fn leave<B>(mut self, result: &mut Result<ServiceResponse<B>, Error>) -> Settling {
        let status = match result {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        let refused = |response: &ServiceResponse<B>| {
            response.response().extensions().contains::<RefusedHere>()
        };
        self.is_over = true;
        let settling = match result.as_ref().is_ok_and(refused) {
            true => Settling::done(),
            false => self.policies.settle(&self.subjects, status.as_u16(), &self.met),
        };
        if let Ok(response) = result {
            add_fields(response.headers_mut(), std::mem::take(&mut self.fields));
        }
        settling
    }
}

impl Drop for Pass {
    /// The client has hung up, or the handler panicked.
    fn drop(&mut self) {
        if !self.is_over {
            let status = if thread::panicking() { PANICKED } else { HUNG_UP };
            // It goes on by itself.
            drop(self.policies.settle(&self.subjects, status, &self.met));
        }
    }
}

/// What this request has met in outer scopes.
fn met(request: &ServiceRequest) -> Met {
    let mut extensions = request.extensions_mut();
    if let Some(met) = extensions.get::<Met>() {
        return met.clone();
    }
    let met = Met::default();
    extensions.insert(met.clone());
    met
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

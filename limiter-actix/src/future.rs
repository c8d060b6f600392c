//! A request on its way through the middleware: [`RateLimitFuture`].

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    thread,
};

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse},
};
use limiter_core::{Admission, Permit, Refusal, Settling};
use pin_project_lite::pin_project;

use crate::{
    enforcer::Enforcer,
    request::ActixRequest,
    response::{Refused, RefusedByLimiter, ResponseFields},
};

/// The status that is recorded for a request without a response: see
/// [`Permit::record_response`].
const HUNG_UP: u16 = 499;
const PANICKED: u16 = 500;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Response<B> = ServiceResponse<EitherBody<B, BoxBody>>;

pin_project! {
    /// The response of a [`RateLimitService`](crate::RateLimitService).
    #[doc(hidden)]
    #[project = StateProjection]
    #[allow(missing_debug_implementations, reason = "futures of services have none")]
    pub enum RateLimitFuture<S, B = BoxBody>
    where
        S: Service<ServiceRequest>,
    {
        /// The store is being waited for.
        Waiting {
            admission: BoxFuture<Result<Admission, Refusal>>,
            request: Option<ServiceRequest>,
            service: Rc<S>,
            enforcer: Rc<Enforcer>,
        },
        /// The wrapped service has the request.
        Calling { #[pin] call: S::Future, guard: Option<PermitGuard> },
        /// The response changes what was charged, or strikes, and the store is being
        /// waited for.
        Settling {
            settling: Settling,
            guard: Option<PermitGuard>,
            result: Option<Result<Response<B>, Error>>,
        },
    }
}

impl<S, B> RateLimitFuture<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    /// Calls the wrapped service if the request passes.
    pub(crate) fn admitted(
        service: &S,
        enforcer: &Rc<Enforcer>,
        request: ServiceRequest,
        admission: Result<Admission, Refusal>,
    ) -> Self {
        match admission {
            Ok(admission) => {
                let guard = PermitGuard::of(admission, &request, enforcer);
                Self::Calling { call: service.call(request), guard }
            }
            Err(refusal) => {
                let response = enforcer.refuse(&request, &refusal).map_into_right_body();
                let result = Some(Ok(request.into_response(response)));
                Self::Settling { settling: Settling::done(), guard: None, result }
            }
        }
    }
}

impl<S, B> Future for RateLimitFuture<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    type Output = Result<Response<B>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                StateProjection::Waiting { admission, request, service, enforcer } => {
                    let admission = ready!(admission.as_mut().poll(context));
                    let request = request.take().expect("polled after it was ready");
                    Self::admitted(service, enforcer, request, admission)
                }
                StateProjection::Calling { call, guard } => {
                    let result = ready!(call.poll(context));
                    let mut result = result.map(ServiceResponse::map_into_left_body);
                    let mut guard = guard.take();
                    let settling = match &mut guard {
                        Some(guard) => guard.record(&result),
                        None => Settling::done(),
                    };
                    if settling.is_done() {
                        guard.iter().for_each(|guard| guard.add_fields(&mut result));
                        return Poll::Ready(result);
                    }
                    Self::Settling { settling, guard, result: Some(result) }
                }
                StateProjection::Settling { settling, guard, result } => {
                    ready!(Pin::new(settling).poll(context));
                    let mut result = result.take().expect("polled after it was ready");
                    guard.iter().for_each(|guard| guard.add_fields(&mut result));
                    return Poll::Ready(result);
                }
            };
            self.set(next);
        }
    }
}

/// A counted request on its way. If it is dropped before there is a response,
/// the outcome is recorded as 499 (the client hung up) or 500 (the handler
/// panicked).
pub(crate) struct PermitGuard {
    permit: Permit,
    enforcer: Rc<Enforcer>,
    has_response: bool,
}

impl PermitGuard {
    /// Keeps the permit of a counted request in the request's extensions.
    fn of(admission: Admission, request: &ServiceRequest, enforcer: &Rc<Enforcer>) -> Option<Self> {
        let Admission::Counted(permit) = admission else { return None };
        request.extensions_mut().insert(permit.clone());
        Some(Self { permit, enforcer: Rc::clone(enforcer), has_response: false })
    }

    /// Records the response. A refusal by a limit further in is no outcome.
    fn record<B>(&mut self, result: &Result<ServiceResponse<B>, Error>) -> Settling {
        self.has_response = true;
        let response = match result {
            Ok(response) => response,
            // A limit by hand, in an extractor or an inner middleware.
            Err(error) if error.as_error::<Refused>().is_some() => return Settling::done(),
            Err(error) => {
                let status = error.as_response_error().status_code();
                return self.permit.record_response(status.as_u16());
            }
        };
        self.permit.check_for_late_user(&ActixRequest(response.request()));
        if response.response().extensions().contains::<RefusedByLimiter>() {
            return Settling::done();
        }
        self.permit.record_response(response.status().as_u16())
    }

    /// Adds the fields that show what is left. An error stays the error it was.
    fn add_fields<B>(&self, result: &mut Result<ServiceResponse<B>, Error>) {
        if let Ok(response) = result {
            let policy_field = self.enforcer.policy_field();
            let mut fields = ResponseFields::of(response.headers_mut(), policy_field.as_deref());
            self.permit.write_fields(&mut |name, value| fields.add(name, value));
        }
    }
}

impl Drop for PermitGuard {
    fn drop(&mut self) {
        if !self.has_response {
            let status = if thread::panicking() { PANICKED } else { HUNG_UP };
            // Dropped, the settlement goes on by itself.
            drop(self.permit.record_response(status));
        }
    }
}

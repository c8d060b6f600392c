//! A request on its way through the middleware.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{Service, ServiceRequest, ServiceResponse},
};
use limiter_core::RecordResponse;
use pin_project_lite::pin_project;

use crate::permit_guard::PermitGuard;

/// What stood before the request: the way past the limit, or the answer to a
/// refused one.
pub(crate) type Admitted = Result<(ServiceRequest, Option<PermitGuard>), ServiceResponse>;

type LocalBoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

pin_project! {
    /// The response of a [`RateLimitService`](crate::RateLimitService).
    #[doc(hidden)]
    #[project = StateProjection]
    #[allow(missing_debug_implementations, reason = "futures of services have none")]
    pub enum RateLimitFuture<S>
    where
        S: Service<ServiceRequest>,
    {
        /// The store has to be waited for.
        Entering { entering: LocalBoxFuture<Admitted>, service: Rc<S> },
        /// The wrapped service has it.
        Calling { #[pin] call: S::Future, guard: Option<PermitGuard> },
        /// Its outcome is being stored, if there is anything to store.
        Leaving { settling: RecordResponse, result: Option<Result<ServiceResponse, Error>> },
    }
}

impl<S> RateLimitFuture<S>
where
    S: Service<ServiceRequest>,
{
    pub(crate) fn entering(
        service: &Rc<S>,
        entering: impl Future<Output = Admitted> + 'static,
    ) -> Self {
        Self::Entering { entering: Box::pin(entering), service: Rc::clone(service) }
    }

    pub(crate) fn entered(service: &S, entered: Admitted) -> Self {
        match entered {
            Ok((request, guard)) => Self::Calling { call: service.call(request), guard },
            Err(refused) => {
                Self::Leaving { settling: RecordResponse::done(), result: Some(Ok(refused)) }
            }
        }
    }
}

impl<S, B> Future for RateLimitFuture<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    type Output = Result<ServiceResponse, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                StateProjection::Entering { entering, service } => {
                    let entered = ready!(entering.as_mut().poll(context));
                    Self::entered(service, entered)
                }
                StateProjection::Calling { call, guard } => {
                    let mut result = ready!(call.poll(context));
                    let settling = guard.take().map(|guard| guard.leave(&mut result));
                    let result = result.map(ServiceResponse::map_into_boxed_body);
                    match settling.filter(|settling| !settling.is_done()) {
                        Some(settling) => Self::Leaving { settling, result: Some(result) },
                        None => return Poll::Ready(result),
                    }
                }
                StateProjection::Leaving { settling, result } => {
                    ready!(Pin::new(settling).poll(context));
                    return Poll::Ready(result.take().expect("polled after it was ready"));
                }
            };
            self.set(next);
        }
    }
}

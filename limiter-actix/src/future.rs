//! A request on its way through the middleware.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse},
};
use limiter_core::Settling;
use pin_project_lite::pin_project;

use crate::gate::Pass;

/// What stood before the request: the way past the limit, or the answer to a
/// refused one.
pub(crate) type Entered<B> = Result<(ServiceRequest, Option<Pass>), ServiceResponse<EitherBody<B>>>;

type LocalBoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

pin_project! {
    /// The response of a [`RateLimitService`](crate::RateLimitService).
    #[doc(hidden)]
    #[project = StateProjection]
    #[allow(missing_debug_implementations, reason = "futures of services have none")]
    pub enum RateLimitFuture<S, B>
    where
        S: Service<ServiceRequest>,
    {
        /// The store has to be waited for.
        Entering { entering: LocalBoxFuture<Entered<B>>, service: Rc<S> },
        /// It was refused.
        Refused { response: Option<ServiceResponse<EitherBody<B>>> },
        /// The wrapped service has it.
        Calling { #[pin] call: S::Future, pass: Option<Pass> },
        /// Its outcome is being stored.
        Leaving { settling: Settling, result: Option<Result<ServiceResponse<B>, Error>> },
    }
}

impl<S, B> RateLimitFuture<S, B>
where
    S: Service<ServiceRequest>,
{
    pub(crate) fn entering(
        service: &Rc<S>,
        entering: impl Future<Output = Entered<B>> + 'static,
    ) -> Self {
        Self::Entering { entering: Box::pin(entering), service: Rc::clone(service) }
    }

    pub(crate) fn entered(service: &S, entered: Entered<B>) -> Self {
        match entered {
            Ok((request, pass)) => Self::Calling { call: service.call(request), pass },
            Err(response) => Self::Refused { response: Some(response) },
        }
    }
}

impl<S, B> Future for RateLimitFuture<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                StateProjection::Entering { entering, service } => {
                    let entered = ready!(entering.as_mut().poll(context));
                    Self::entered(service, entered)
                }
                StateProjection::Refused { response } => {
                    return Poll::Ready(Ok(response.take().expect("polled after it was ready")));
                }
                StateProjection::Calling { call, pass } => {
                    let mut result = ready!(call.poll(context));
                    let settling = match pass.take() {
                        Some(pass) => pass.leave(&mut result),
                        None => Settling::done(),
                    };
                    Self::Leaving { settling, result: Some(result) }
                }
                StateProjection::Leaving { settling, result } => {
                    ready!(Pin::new(settling).poll(context));
                    let result = result.take().expect("polled after it was ready");
                    return Poll::Ready(result.map(ServiceResponse::map_into_left_body));
                }
            };
            self.set(next);
        }
    }
}

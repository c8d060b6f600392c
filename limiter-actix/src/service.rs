//! The middleware's service: admit, then call the wrapped service or refuse.

use std::{
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};
use limiter_core::Answer;

use crate::{enforcer::Enforcer, future::RateLimitFuture, rate_limit::RateLimit};

impl<S, B> Transform<S, ServiceRequest> for RateLimit
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B, BoxBody>>;
    type Error = Error;
    type Transform = RateLimitService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let enforcer = Rc::new(Enforcer::new(self.clone()));
        ready(Ok(RateLimitService { service: Rc::new(service), enforcer }))
    }
}

/// The service that [`RateLimit`] wraps another with.
#[doc(hidden)]
#[derive(Debug)]
pub struct RateLimitService<S> {
    service: Rc<S>,
    enforcer: Rc<Enforcer>,
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

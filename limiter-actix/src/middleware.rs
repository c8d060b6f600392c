//! The middleware: extract, ask, render.

use std::{
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};

use limiter_core::Decision;

use crate::{
    config::RateLimit,
    future::{Entered, RateLimitFuture},
    gate::{Asked, Gate, RefusedHere},
};

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
        ready(match Gate::new(self) {
            Some(gate) => Ok(RateLimitService { service: Rc::new(service), gate: Rc::new(gate) }),
            None => Err(()),
        })
    }
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
    type Future = RateLimitFuture<S, B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let asked = match self.gate.prepare(&request) {
            Ok(Some(asked)) => asked,
            Ok(None) => return RateLimitFuture::entered(&self.service, Ok((request, None))),
            Err(refused) => {
                return RateLimitFuture::entered(&self.service, Err(refuse(request, refused)));
            }
        };
        if let Some(decision) = asked.check_at_once() {
            let entered = enter(&self.gate, request, asked, Ok(decision));
            return RateLimitFuture::entered(&self.service, entered);
        }
        let gate = Rc::clone(&self.gate);
        RateLimitFuture::entering(&self.service, async move {
            let decided = asked.check().await;
            enter(&gate, request, asked, decided)
        })
    }
}

#[allow(clippy::result_large_err, reason = "a refusal is what it is, and rare")]
fn enter<B>(
    gate: &Gate,
    request: ServiceRequest,
    asked: Asked,
    decided: Result<Decision, limiter_core::Error>,
) -> Entered<B> {
    match gate.admit(&request, asked, decided) {
        Ok(pass) => Ok((request, pass)),
        Err(refused) => Err(refuse(request, refused)),
    }
}

fn refuse<B>(request: ServiceRequest, mut refused: HttpResponse) -> ServiceResponse<EitherBody<B>> {
    refused.extensions_mut().insert(RefusedHere);
    request.into_response(refused).map_into_right_body()
}

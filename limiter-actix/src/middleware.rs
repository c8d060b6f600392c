//! The middleware: extract, ask, render.

use std::{
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpResponse,
    body::MessageBody,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};

use limiter_core::Decision;

use crate::{
    config::RateLimit,
    future::{Entered, RateLimitFuture},
    gate::{Asked, Gate},
    passage::RefusedHere,
};

impl<S, B> Transform<S, ServiceRequest> for RateLimit
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse;
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
    type Response = ServiceResponse;
    type Error = Error;
    type Future = RateLimitFuture<S>;

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
        if let Some(decision) = asked.ask.check_at_once() {
            let entered = enter(&self.gate, request, asked, decision);
            return RateLimitFuture::entered(&self.service, entered);
        }
        let gate = Rc::clone(&self.gate);
        RateLimitFuture::entering(&self.service, async move {
            match asked.ask.check().await {
                Ok(decision) => enter(&gate, request, asked, decision),
                Err(error) => {
                    let failed = gate.fail(&request, &error);
                    Err(refuse(request, failed))
                }
            }
        })
    }
}

#[allow(clippy::result_large_err, reason = "a refusal is what it is, and rare")]
fn enter(gate: &Rc<Gate>, request: ServiceRequest, asked: Asked, decision: Decision) -> Entered {
    match gate.admit(&request, asked, decision) {
        Ok(passage) => Ok((request, passage)),
        Err(refused) => Err(refuse(request, refused)),
    }
}

fn refuse(request: ServiceRequest, mut refused: HttpResponse) -> ServiceResponse {
    refused.extensions_mut().insert(RefusedHere);
    request.into_response(refused)
}

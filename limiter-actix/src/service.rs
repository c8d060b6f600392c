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
    enforcer::{Enforcer, PreparedRequest},
    future::{Admitted, RateLimitFuture},
    permit_guard::RefusedByLimiter,
    rate_limit::RateLimit,
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
        ready(match Enforcer::new(self) {
            Some(enforcer) => {
                Ok(RateLimitService { service: Rc::new(service), enforcer: Rc::new(enforcer) })
            }
            None => Err(()),
        })
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
    type Response = ServiceResponse;
    type Error = Error;
    type Future = RateLimitFuture<S>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let prepared = match self.enforcer.prepare(&request) {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return RateLimitFuture::entered(&self.service, Ok((request, None))),
            Err(refused) => {
                return RateLimitFuture::entered(&self.service, Err(refuse(request, refused)));
            }
        };
        if let Some(decision) = prepared.ask.check_at_once() {
            let entered = enter(&self.enforcer, request, prepared, decision);
            return RateLimitFuture::entered(&self.service, entered);
        }
        let enforcer = Rc::clone(&self.enforcer);
        RateLimitFuture::entering(&self.service, async move {
            match prepared.ask.check().await {
                Ok(decision) => enter(&enforcer, request, prepared, decision),
                Err(error) => {
                    let failed = enforcer.fail(&request, &error);
                    Err(refuse(request, failed))
                }
            }
        })
    }
}

#[allow(clippy::result_large_err, reason = "a refusal is what it is, and rare")]
fn enter(
    enforcer: &Rc<Enforcer>,
    request: ServiceRequest,
    prepared: PreparedRequest,
    decision: Decision,
) -> Admitted {
    match enforcer.admit(&request, prepared, decision) {
        Ok(guard) => Ok((request, guard)),
        Err(refused) => Err(refuse(request, refused)),
    }
}

fn refuse(request: ServiceRequest, mut refused: HttpResponse) -> ServiceResponse {
    refused.extensions_mut().insert(RefusedByLimiter);
    request.into_response(refused)
}

//! What stands behind the wrapped service: settle and tell.

use std::{rc::Rc, thread};

use actix_web::{Error, dev::ServiceResponse};
use limiter_core::{Permit, RecordResponse};

use crate::{enforcer::Enforcer, response::add_fields};

/// What stands for the status of a request that has none: see [`Permit::record_response`].
const HUNG_UP: u16 = 499;
const PANICKED: u16 = 500;

/// Marks a limiter's own response, which is no outcome that an outer limiter
/// should count.
pub(crate) struct RefusedByLimiter;

/// A counted request on its way. If it is given up, that is what it came to.
pub(crate) struct PermitGuard {
    permit: Permit,
    enforcer: Rc<Enforcer>,
    is_over: bool,
}

impl PermitGuard {
    pub(crate) const fn new(permit: Permit, enforcer: Rc<Enforcer>) -> Self {
        Self { permit, enforcer, is_over: false }
    }

    /// Counts what the request came to, and tells the client what is left. An
    /// error stays the error it was.
    pub(crate) fn leave<B>(
        mut self,
        result: &mut Result<ServiceResponse<B>, Error>,
    ) -> RecordResponse {
        self.is_over = true;
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                return self
                    .permit
                    .record_response(error.as_response_error().status_code().as_u16());
            }
        };
        let settling = match response.response().extensions().contains::<RefusedByLimiter>() {
            true => RecordResponse::done(),
            false => self.permit.record_response(response.status().as_u16()),
        };
        add_fields(response.headers_mut(), self.permit.fields(), self.enforcer.policy_field());
        settling
    }
}

impl Drop for PermitGuard {
    /// The client has hung up, or the handler panicked.
    fn drop(&mut self) {
        if !self.is_over {
            let status = if thread::panicking() { PANICKED } else { HUNG_UP };
            // It goes on by itself.
            drop(self.permit.record_response(status));
        }
    }
}

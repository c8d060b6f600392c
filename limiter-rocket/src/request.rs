//! Facts of a Rocket request for the core.

use std::{borrow::Cow, net::IpAddr};

use limiter_core::{Error, RequestInfo};
use rocket::Request;

use crate::{limiter_state::LimiterState, request_state::RequestState};

/// Returns the address of a request's client, as the limiter's configuration
/// says: behind trusted proxies the one that they name.
///
/// # Errors
/// [`Error::NoLimiter`] without the fairing; else as
/// [`Limiter::client_ip`](crate::Limiter::client_ip).
pub fn client_ip(request: &Request<'_>) -> Result<IpAddr, Error> {
    let state = request.rocket().state::<LimiterState>().ok_or(Error::NoLimiter)?;
    state.limiter().client_ip(&RocketRequest(request))
}

pub(crate) struct RocketRequest<'a, 'r>(pub(crate) &'a Request<'r>);

impl RequestInfo for RocketRequest<'_, '_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn peer_address(&self) -> Option<IpAddr> {
        // Not `client_ip`, which believes the client's own X-Real-IP.
        self.0.remote().map(|remote| remote.ip())
    }

    fn header_lines(&self, name: &str) -> Vec<&[u8]> {
        self.0.headers().get(name).map(str::as_bytes).collect()
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        RequestState::of(self.0).user().map(Cow::Owned)
    }

    fn endpoint(&self) -> Option<Cow<'_, str>> {
        self.0.route().map(|route| Cow::Borrowed(route.uri.as_str()))
    }
}

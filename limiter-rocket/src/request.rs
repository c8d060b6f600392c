//! What a Rocket request tells the core.

use std::{borrow::Cow, net::IpAddr};

use limiter_core::RequestInfo;
use rocket::Request;

use crate::request_state::RequestState;

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

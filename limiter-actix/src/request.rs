//! What an actix-web request tells the core.

use std::{borrow::Cow, net::IpAddr};

use actix_web::{HttpMessage, dev::ServiceRequest};
use limiter_core::RequestInfo;

/// Whom the application found a request to be from, for policies that count
/// by `"user"`.
///
/// Authentication puts it into the request's extensions, in a middleware that
/// runs before the limiter (actix-web runs what is wrapped last first):
///
/// ```
/// use actix_web::{HttpMessage, dev::ServiceRequest};
/// use limiter_actix::User;
///
/// fn authenticated(request: &ServiceRequest, id: &str) {
///     request.extensions_mut().insert(User::new(id));
/// }
/// # let _ = authenticated;
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User(String);

impl User {
    /// A user of that id, which must be one that the application has verified.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

pub(crate) struct ActixRequest<'a>(pub(crate) &'a ServiceRequest);

impl RequestInfo for ActixRequest<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn peer_address(&self) -> Option<IpAddr> {
        // Not `realip_remote_addr`, which believes whatever a client writes.
        self.0.peer_addr().map(|peer| peer.ip())
    }

    fn header_lines(&self, name: &str) -> Vec<&[u8]> {
        self.0.headers().get_all(name).map(|value| value.as_bytes()).collect()
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        let extensions = self.0.extensions();
        extensions.get::<User>().map(|user| Cow::Owned(user.0.clone()))
    }

    fn endpoint(&self) -> Option<Cow<'_, str>> {
        // Not the request's own `match_pattern`: before routing it sees the raw
        // path, in which `/l%6Fgin` is not `/login`, though it is routed there.
        let decoded = self.0.match_info().as_str();
        self.0.resource_map().match_pattern(decoded).map(Cow::Owned)
    }
}

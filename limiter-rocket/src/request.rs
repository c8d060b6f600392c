//! Facts of a Rocket request for the core.

use std::{borrow::Cow, net::IpAddr};

use limiter_core::{AdmitOptions, Error, Explanation, PolicySet, RequestInfo};
use rocket::{Request, Route, http::Method};

use crate::{limiter_state::LimiterState, request_state::RequestState};

/// Returns the address of a request's client, as the limiter's configuration
/// says: behind trusted proxies the one that they name.
///
/// # Errors
/// [`Error::NoLimiter`] without the fairing; else as
/// [`Limiter::client_ip`](crate::Limiter::client_ip).
pub fn client_ip(request: &Request<'_>) -> Result<IpAddr, Error> {
    let state = request.rocket().state::<LimiterState>().ok_or(Error::NoLimiter)?;
    state.limiter().client_ip(&RocketRequest::routed(request))
}

/// Explains what a request would be answered by a limit of these policies, and why:
/// nothing is counted. See
/// [`PolicySet::explain`](limiter_core::PolicySet::explain).
pub async fn explain(
    request: &Request<'_>,
    policies: &PolicySet,
    options: &AdmitOptions,
) -> Explanation {
    let explanation = policies.explain(&RocketRequest::routed(request), options);
    explanation.await
}

/// The facts of a request, which is routed to the endpoint, or is yet to be.
#[derive(Clone, Copy)]
pub(crate) struct RocketRequest<'a, 'r> {
    request: &'a Request<'r>,
    is_routed: bool,
}

impl<'a, 'r> RocketRequest<'a, 'r> {
    pub(crate) const fn routed(request: &'a Request<'r>) -> Self {
        Self { request, is_routed: true }
    }

    /// A request before routing: its endpoint is the route that Rocket will try
    /// next.
    pub(crate) const fn before_routing(request: &'a Request<'r>) -> Self {
        Self { request, is_routed: false }
    }
}

impl RequestInfo for RocketRequest<'_, '_> {
    fn method(&self) -> &str {
        self.request.method().as_str()
    }

    fn peer_address(&self) -> Option<IpAddr> {
        // Not `client_ip`, which believes the client's own X-Real-IP.
        self.request.remote().map(|remote| remote.ip())
    }

    fn header_lines(&self, name: &str) -> Vec<&[u8]> {
        self.request.headers().get(name).map(str::as_bytes).collect()
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        RequestState::of(self.request).user().map(Cow::Owned)
    }

    fn endpoint(&self) -> Option<Cow<'_, str>> {
        let route = if self.is_routed { self.request.route() } else { next_route(self.request) };
        route.map(|route| Cow::Borrowed(route.uri.as_str()))
    }
}

/// The route of the application that Rocket tries first for a request. `None` if
/// that depends on more than method and path: it is known only once it is routed.
fn next_route<'r>(request: &'r Request<'_>) -> Option<&'r Route> {
    let first = |method: Method| {
        let mut routes = request.rocket().routes();
        routes.find(|route| {
            route.method == method && !is_before_routing(route) && path_matches(route, request)
        })
    };
    let route = match request.method() {
        Method::Head => first(Method::Head).or_else(|| first(Method::Get)),
        method => first(method),
    };
    route.filter(|route| route.format.is_none() && route.uri.query().is_none())
}

/// Returns true if the route is that of [`BeforeRouting`](crate::catch_all_route::BeforeRouting).
pub(crate) const fn is_before_routing(route: &Route) -> bool {
    route.rank == isize::MIN
}

/// Returns true if Rocket takes the request's path for the route's, as its router does.
fn path_matches(route: &Route, request: &Request<'_>) -> bool {
    let mut own = route.uri.path().split('/').filter(|part| !part.is_empty());
    let mut sent = request.uri().path().segments().filter(|part| !part.is_empty());
    loop {
        match (own.next(), sent.next()) {
            (None, None) => return true,
            (Some(own), _) if own.starts_with('<') && own.ends_with("..>") => return true,
            (Some(own), Some(_)) if own.starts_with('<') && own.ends_with('>') => {}
            (Some(own), Some(sent)) if own == sent => {}
            _ => return false,
        }
    }
}

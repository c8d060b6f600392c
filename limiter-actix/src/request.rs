//! Facts of an actix-web request for the core, and what a handler may ask.

use std::{borrow::Cow, net::IpAddr};

use actix_web::{HttpMessage, HttpRequest, web};
use limiter_core::{AdmitOptions, Error, Explanation, Limiter, Permit, PolicySet, RequestInfo};

use crate::{extractor::permit, response::Refused};

/// The user whom the application has found a request to be from, for policies
/// that count by `"user"`.
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

/// Admits a request by hand, from a handler or an extractor, for limits that are
/// known only there: by a field of the body, or for each message of a WebSocket.
///
/// Does everything that a `RateLimit` does, but for the response: the lists, exempt
/// endpoints, preflights and bans apply, a policy that has counted the request
/// already is not charged again, and a refusal strikes. The header fields are not
/// added, and a response status strikes only if the handler passes it to
/// [`Permit::record_response`]. `None` stands for a request that is exempt.
///
/// ```
/// use actix_web::{HttpRequest, web};
/// use limiter_actix::{AdmitOptions, Limiter, Refused, admit};
///
/// async fn upload(
///     request: HttpRequest,
///     limiter: web::Data<Limiter>,
///     body: web::Bytes,
/// ) -> Result<&'static str, actix_web::Error> {
///     let uploads = limiter.policy("uploads").map_err(actix_web::error::ErrorInternalServerError)?;
///     let kilobytes = body.len().div_ceil(1024) as u64;
///     admit(&request, &uploads, AdmitOptions::default().with_cost(kilobytes)).await?;
///     Ok("stored")
/// }
/// # let _ = upload;
/// ```
///
/// # Errors
/// The refusal, which is a response.
pub async fn admit(
    request: &HttpRequest,
    policies: &PolicySet,
    options: AdmitOptions,
) -> Result<Option<Permit>, Refused> {
    let admission = policies.admit(&ActixRequest(request), options.after(permit(request)));
    let admission = admission.await.map_err(Refused)?;
    if let limiter_core::Admission::Counted(permit) = &admission {
        request.extensions_mut().insert(permit.clone());
    }
    Ok(admission.permit().cloned())
}

/// Explains what a request would be answered by a limit of these policies, and why:
/// nothing is counted. See [`PolicySet::explain`].
///
/// ```
/// use actix_web::{HttpRequest, Responder, get, web};
/// use limiter_actix::{AdmitOptions, Limiter, explain};
///
/// /// For operators only: guard it.
/// #[get("/explain")]
/// async fn explain_me(request: HttpRequest, limiter: web::Data<Limiter>) -> impl Responder {
///     let api = limiter.policy("api").expect("it is configured");
///     web::Json(explain(&request, &api, &AdmitOptions::default()).await)
/// }
/// # let _ = explain_me;
/// ```
pub async fn explain(
    request: &HttpRequest,
    policies: &PolicySet,
    options: &AdmitOptions,
) -> Explanation {
    policies.explain(&ActixRequest(request), options).await
}

/// Returns the address of a request's client, as the limiter's configuration
/// says: behind trusted proxies the one that they name. The limiter is the one
/// that has counted the request, or has let it pass by one of its lists, else that of the
/// application's data.
///
/// # Errors
/// [`Error::NoLimiter`] if there is neither; else as [`Limiter::client_ip`].
pub fn client_ip(request: &HttpRequest) -> Result<IpAddr, Error> {
    let permit = permit(request);
    let data = request.app_data::<web::Data<Limiter>>().map(|data| data.get_ref());
    let passed = request.extensions().get::<Limiter>().cloned();
    let limiter = permit.as_ref().map(|permit| permit.policies().limiter()).or(passed.as_ref());
    let limiter = limiter.or(data).or_else(|| request.app_data::<Limiter>());
    limiter.ok_or(Error::NoLimiter)?.client_ip(&ActixRequest(request))
}

pub(crate) struct ActixRequest<'a>(pub(crate) &'a HttpRequest);

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
        self.exact_endpoint().or_else(|| {
            // A `NormalizePath` further in routes it as one of these.
            let paths = normalized(self.0.match_info().as_str());
            let routes = self.0.resource_map();
            paths.iter().find_map(|path| routes.match_pattern(path)).map(Cow::Owned)
        })
    }

    fn exact_endpoint(&self) -> Option<Cow<'_, str>> {
        // Not the request's own `match_pattern`: before routing it sees the raw
        // path, in which `/l%6Fgin` is not `/login`, though it is routed there.
        let decoded = self.0.match_info().as_str();
        self.0.resource_map().match_pattern(decoded).map(Cow::Owned)
    }
}

/// The paths that `NormalizePath` makes of a path that is no route as it is:
/// slashes merged, without and with one at the end.
fn normalized(path: &str) -> [String; 2] {
    let mut merged = String::with_capacity(path.len() + 1);
    for part in path.split('/').filter(|part| !part.is_empty()) {
        merged.push('/');
        merged.push_str(part);
    }
    let with_slash = format!("{merged}/");
    if merged.is_empty() { ["/".to_owned(), with_slash] } else { [merged, with_slash] }
}

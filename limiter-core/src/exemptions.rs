//! Endpoints whose requests are neither counted nor refused: [`Exemptions`].

use crate::{error::ConfigError, key::counted_method, request::RequestInfo};

/// Endpoints whose requests are neither counted nor refused, such as
/// `"GET /health"`, or `"/metrics"` for all methods.
///
/// An endpoint is the pattern of a route as the framework writes it
/// (`/users/{id}` in actix-web, `/users/<id>` in Rocket), matched as endpoint
/// keys are: by the route that was found, never by the text of the path, so
/// that no other spelling of a path is exempt. HEAD counts as GET. A request
/// that matches no route is never exempt. Of two routes of one path that differ
/// in their guards, formats or queries, do not exempt one: before routing it is
/// not known which of them serves a request.
///
/// Exemption comes before everything else: lists of networks, and whether the
/// client's address is known at all.
///
/// ```
/// use limiter_core::Exemptions;
///
/// Exemptions::parse(["GET /health", "/metrics"])?;
/// let error = Exemptions::parse(["health"]).unwrap_err().to_string();
/// assert!(error.contains("\"GET /health\""), "{error}");
/// # Ok::<(), limiter_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exemptions(Vec<ExemptEndpoint>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct ExemptEndpoint {
    /// `None` for all methods.
    method: Option<String>,
    pattern: String,
}

impl Exemptions {
    /// Reads endpoints: a method and the pattern of a route, or the pattern
    /// alone.
    ///
    /// # Errors
    /// If a pattern does not begin with `/`, or a method is none that HTTP
    /// defines.
    pub fn parse<'a>(endpoints: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        endpoints.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Adds one endpoint.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn with(mut self, endpoint: &str) -> Result<Self, ConfigError> {
        self.0.push(parse(endpoint)?);
        Ok(self)
    }

    /// Returns true if no endpoint is exempt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the request's endpoint is exempt.
    #[must_use]
    pub fn contains(&self, request: &dyn RequestInfo) -> bool {
        if self.is_empty() {
            return false;
        }
        let Some(pattern) = request.exact_endpoint() else { return false };
        let method = counted_method(request.method());
        self.0.iter().any(|exempt| {
            exempt.pattern == pattern && exempt.method.as_deref().is_none_or(|own| own == method)
        })
    }
}

fn parse(text: &str) -> Result<ExemptEndpoint, ConfigError> {
    let (method, pattern) = match text.trim().split_once(' ') {
        Some((method, pattern)) => (Some(counted_method(method)), pattern.trim()),
        None => (None, text.trim()),
    };
    if !pattern.starts_with('/') || method == Some("*") {
        return Err(ConfigError::new(format!(
            "{text:?} is no endpoint; write a method and the pattern of a route, such as \
             \"GET /health\", or \"/health\" for all methods"
        )));
    }
    Ok(ExemptEndpoint { method: method.map(str::to_owned), pattern: pattern.to_owned() })
}

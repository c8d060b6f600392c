//! Endpoints whose requests are neither counted nor refused: [`Exemptions`].

use std::str::FromStr;

use crate::{
    error::{ConfigError, from_texts},
    key::counted_method,
    request::RequestInfo,
};

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
    /// If a pattern does not begin with `/`, no route can have it (`/static/*`, `/health?x=1`,
    /// `/users/:id`), or a method is none that HTTP defines.
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

    /// Returns the patterns of routes, without their methods.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|exempt| exempt.pattern.as_str())
    }

    /// Returns true if no endpoint is exempt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the request's endpoint is exempt.
    #[must_use]
    #[inline]
    pub fn contains(&self, request: &dyn RequestInfo) -> bool {
        !self.is_empty() && self.contains_endpoint(request)
    }

    fn contains_endpoint(&self, request: &dyn RequestInfo) -> bool {
        let Some(pattern) = request.exact_endpoint() else { return false };
        let method = counted_method(request.method());
        self.0.iter().any(|exempt| {
            exempt.pattern == pattern && exempt.method.as_deref().is_none_or(|own| own == method)
        })
    }
}

impl FromStr for Exemptions {
    type Err = ConfigError;

    /// Reads one endpoint: a pattern may have commas.
    fn from_str(endpoint: &str) -> Result<Self, ConfigError> {
        Self::parse([endpoint])
    }
}

from_texts!(Exemptions);

fn parse(text: &str) -> Result<ExemptEndpoint, ConfigError> {
    let (method, pattern) = match text.trim().split_once(' ') {
        Some((method, pattern)) => (Some(counted_method(method)), pattern.trim()),
        None => (None, text.trim()),
    };
    let reason = if !pattern.starts_with('/') || method == Some("*") {
        ""
    } else if let Some(reason) = no_pattern(pattern) {
        reason
    } else {
        return Ok(ExemptEndpoint {
            method: method.map(str::to_owned),
            pattern: pattern.to_owned(),
        });
    };
    Err(ConfigError::new(format!(
        "{text:?} is no endpoint{reason}; write a method and the pattern of a route, such as \
         \"GET /health\", or \"/health\" for all methods"
    )))
}

/// Returns why neither framework has a route of that pattern. Within braces actix-web has
/// regular expressions, and a query with a parameter is part of a route in Rocket.
fn no_pattern(pattern: &str) -> Option<&'static str> {
    let mut depth = 0_usize;
    let is_outside = |c: &char| {
        depth = if *c == '{' { depth + 1 } else { depth };
        let is_outside = depth == 0;
        depth = if *c == '}' { depth.saturating_sub(1) } else { depth };
        is_outside || *c == '}' && depth == 0
    };
    let outside: String = pattern.chars().filter(is_outside).collect();
    if outside.contains('?') && !outside.contains('<') {
        Some(", since a route is found without the query")
    } else if outside.replace("}*", "").contains('*') {
        Some(": the rest of a path is \"/{rest}*\" in actix-web and \"/<rest..>\" in Rocket")
    } else if outside.contains("/:") {
        Some(": a part of a path is \"/{id}\" in actix-web and \"/<id>\" in Rocket")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_route_can_be_is_an_error() {
        let table = [
            ("health", "is no endpoint; write"),
            ("GET", "is no endpoint; write"),
            ("/health?x=1", "found without the query"),
            ("/static/*", "\"/{rest}*\" in actix-web"),
            ("GET /users/:id", "\"/<id>\" in Rocket"),
        ];
        for (endpoint, part) in table {
            let error = Exemptions::try_from(endpoint).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("\"GET /health\""), "{error}");
        }
        let routes = [
            "/static/{tail:.*}",
            "/static/{tail}*",
            r"/{id:\d{1,3}?}/x",
            "/users/<id>",
            "/files/<path..>",
            "/search?<query>",
            "GET /users/{id}",
        ];
        assert_eq!(Exemptions::parse(routes).unwrap().patterns().count(), 7);
    }
}

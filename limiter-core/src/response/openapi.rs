//! The responses of refusals in an OpenAPI document.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Refusal;

impl Refusal {
    /// Returns the responses that a limited endpoint has beside its own, each with its
    /// status, as Response Objects of an OpenAPI document: in whatever type a generator
    /// has for them, or as [`serde_json::Value`].
    ///
    /// `utoipa` has them by the feature of that name, and `rocket_okapi` by that of
    /// `limiter-rocket`.
    ///
    /// ```
    /// use limiter_core::Refusal;
    ///
    /// let responses = Refusal::openapi_responses::<serde_json::Value>()?;
    /// let (status, response) = &responses[1];
    /// assert_eq!(*status, 429);
    /// assert_eq!(response["headers"]["Retry-After"]["schema"]["type"], "integer");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// If that type is no Response Object.
    pub fn openapi_responses<T: DeserializeOwned>() -> Result<Vec<(u16, T)>, serde_json::Error> {
        let typed = |(status, response)| Ok((status, serde_json::from_value(response)?));
        responses().into_iter().map(typed).collect()
    }
}

fn responses() -> [(u16, Value); 3] {
    [
        (403, response("The client is banned for abnormal usage, or blocked.")),
        (429, response("The client is over a limit.")),
        (503, response("The limit cannot be checked now.")),
    ]
}

fn response(description: &str) -> Value {
    json!({
        "description": description,
        "headers": {
            "Retry-After": {
                "description": "Seconds until the same request would pass, where that is known.",
                "schema": { "type": "integer" },
            },
        },
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "description": "A problem document (RFC 9457).",
                    "properties": {
                        "type": { "type": "string" },
                        "title": { "type": "string" },
                        "status": { "type": "integer" },
                        "detail": { "type": "string" },
                        "violated-policies": { "type": "array", "items": { "type": "string" } },
                    },
                },
            },
        },
    })
}

/// For `#[utoipa::path(responses((status = 200), Refusal))]`.
#[cfg(feature = "utoipa")]
impl utoipa::IntoResponses for Refusal {
    fn responses()
    -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
        let responses = Self::openapi_responses::<utoipa::openapi::Response>();
        let responses = responses.expect("they are Response Objects of OpenAPI");
        responses
            .into_iter()
            .map(|(status, response)| (status.to_string(), utoipa::openapi::RefOr::T(response)))
            .collect()
    }
}

#[cfg(all(test, feature = "utoipa"))]
mod tests {
    use utoipa::IntoResponses;

    use crate::Refusal;

    #[test]
    fn utoipa_has_the_responses() {
        let responses = <Refusal as IntoResponses>::responses();
        let json = serde_json::to_value(responses).unwrap();
        for (status, response) in super::responses() {
            let written = &json[status.to_string()];
            assert_eq!(written["description"], response["description"]);
            assert_eq!(written["headers"], response["headers"]);
            assert!(written["content"]["application/problem+json"]["schema"].is_object());
        }
    }
}

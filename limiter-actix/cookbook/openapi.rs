//! OpenAPI by utoipa: a limited endpoint documents 403, 429 and 503 beside its own
//! responses. It takes the feature `utoipa` of limiter-actix.

use actix_web::{Responder, get};
use limiter_actix::Refusal;
use utoipa::OpenApi;

/// The document of the application.
#[derive(Debug, OpenApi)]
#[openapi(paths(hello))]
pub struct Document;

/// Says hello.
#[utoipa::path(responses((status = 200, description = "a greeting"), Refusal))]
#[get("/hello")]
async fn hello() -> impl Responder {
    "hello"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_endpoint_documents_its_refusals() {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let responses = document["paths"]["/hello"]["get"]["responses"].as_object().unwrap();
        let statuses: Vec<_> = responses.keys().map(String::as_str).collect();
        assert_eq!(statuses, ["200", "403", "429", "503"]);
        let wait = &responses["429"]["headers"]["Retry-After"]["schema"]["type"];
        assert_eq!(wait, "integer");
    }
}

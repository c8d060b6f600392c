//! Sends the contract's requests to a service of actix-web.

use actix_web::{Error, body::MessageBody, dev::ServiceResponse, test};

use crate::contract::{Reply, Request, Routes};

/// A service made by actix-web's test tools, whose type has no name.
pub(super) struct ActixRoutes<F>(pub(super) F);

impl<F: AsyncFn(test::TestRequest) -> Reply> Routes for ActixRoutes<F> {
    async fn send(&self, request: &Request) -> Reply {
        let method = request.method.parse().expect("the test's method is one");
        let mut sent = test::TestRequest::default().method(method).uri(&request.path);
        for (name, value) in &request.headers {
            sent = sent.append_header((*name, value.as_str()));
        }
        if let Some(peer) = request.peer {
            sent = sent.peer_addr((peer, 5000).into());
        }
        (self.0)(sent.set_payload(request.body)).await
    }
}

/// Reads a response.
pub(crate) async fn reply<B: MessageBody>(response: ServiceResponse<B>) -> Reply {
    let status = response.status().as_u16();
    let mut headers = std::collections::BTreeMap::<String, String>::new();
    for (name, value) in response.headers() {
        let value = value.to_str().expect("the answer's headers are text");
        let known = headers.entry(name.as_str().to_owned()).or_default();
        *known = if known.is_empty() { value.to_owned() } else { format!("{known}, {value}") };
    }
    let no_body = response.request().method() == actix_web::http::Method::HEAD;
    let body = test::read_body(response).await;
    let body = String::from_utf8(body.to_vec()).expect("the answer's body is text");
    Reply { status, headers, body: if no_body { String::new() } else { body } }
}

/// Returns the response that actix-web's dispatcher makes of an error.
pub(super) fn reply_of_error(error: &Error) -> Reply {
    let status = error.as_response_error().status_code().as_u16();
    Reply { status, headers: Default::default(), body: error.to_string() }
}

//! Helpers of the recipes' tests.

use actix_web::{
    Error,
    body::{MessageBody, to_bytes},
    dev::{Service, ServiceResponse},
    http::header::HeaderMap,
    test::TestRequest,
};

/// A response, with its body read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }
}

/// Sends a request from 192.0.2.1.
pub(crate) async fn send<S, B>(app: &S, request: TestRequest) -> Answer
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let peer = "192.0.2.1:5000".parse().expect("it is an address");
    let response = app.call(request.peer_addr(peer).to_request()).await.expect("it responds");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body()).await.ok().expect("the body can be read");
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

//! Sends the contract's requests to a client of Rocket.

use rocket::{
    http::{Header, Method},
    local::asynchronous::{Client, LocalResponse},
};

use crate::contract::{Reply, Request, Routes};

impl Routes for Client {
    async fn send(&self, request: &Request) -> Reply {
        let method = request.method.parse::<Method>().expect("the test's method is one");
        let mut sent = self.req(method, request.path.clone()).body(request.body);
        for (name, value) in &request.headers {
            sent.add_header(Header::new(*name, value.clone()));
        }
        if let Some(peer) = request.peer {
            sent = sent.remote((peer, 5000).into());
        }
        reply(sent.dispatch().await).await
    }
}

/// Reads a response.
pub(crate) async fn reply(response: LocalResponse<'_>) -> Reply {
    let mut headers = std::collections::BTreeMap::<String, String>::new();
    for header in response.headers().iter() {
        let known = headers.entry(header.name().as_str().to_lowercase()).or_default();
        let value = header.value();
        *known = if known.is_empty() { value.to_owned() } else { format!("{known}, {value}") };
    }
    let status = response.status().code;
    let body = response.into_string().await.unwrap_or_default();
    Reply { status, headers, body }
}

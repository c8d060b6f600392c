//! Messages of a WebSocket: each counts, though the request was one. The key is that
//! of the request that opened the connection.

use limiter_rocket::{
    Decision, Permit, PolicySet,
    limiter_core::{Error, Subjects},
};

/// The limit of one connection's messages.
///
/// The handler that upgrades the connection makes it from its guard's permit, and
/// the stream that reads messages asks it for each: it drops the message, or closes
/// the connection with code 1008, where the decision refuses.
#[derive(Clone, Debug)]
pub struct MessageLimit {
    policies: PolicySet,
    subjects: Subjects,
}

impl MessageLimit {
    /// The limit by these policies for whom the permit counted.
    #[must_use]
    pub fn new(policies: PolicySet, permit: &Permit) -> Option<Self> {
        let (_, key) = permit.keys().next()?;
        let subjects = policies.subjects_of(key);
        Some(Self { policies, subjects })
    }

    /// Counts one message.
    ///
    /// # Errors
    /// If the store is away and the policy says `on_store_error = "deny"`.
    pub async fn count(&self) -> Result<Decision, Error> {
        self.policies.check(&self.subjects, 1).await
    }
}

#[cfg(test)]
mod tests {
    use limiter_rocket::{Limiter, RateLimited};
    use rocket::{State, get, routes};

    use super::*;
    use crate::test_helpers::client;

    /// Stands for the handler that upgrades: it counts five messages at once.
    #[get("/chat")]
    async fn chat(limit: RateLimited, limiter: &State<Limiter>) -> String {
        let messages = limiter.policy("messages").unwrap();
        let limit = MessageLimit::new(messages, limit.permit().unwrap()).unwrap();
        let mut allowed = String::new();
        for _ in 0..5 {
            allowed.push(if limit.count().await.unwrap().is_allowed() { '+' } else { '-' });
        }
        allowed
    }

    #[test]
    fn each_message_counts_for_whom_the_request_did() {
        let config = "[default.limiter.policies]\ndefault = { quota = \"5/minute\" }\n\
                      messages = { quota = \"3/minute\" }\n";
        let client = client(config, routes![chat]);
        assert_eq!(client.get("/chat").dispatch().into_string().unwrap(), "+++--");
    }
}

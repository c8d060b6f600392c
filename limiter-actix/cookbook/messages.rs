//! Messages of a WebSocket: each counts, though the request was one. The key is that
//! of the request that opened the connection.

use limiter_actix::{
    Decision, Permit,
    limiter_core::{Error, PolicySet, Subjects},
};

/// The limit of one connection's messages.
///
/// The handler that upgrades the connection makes it from its permit, and the task
/// that reads messages asks it for each: it drops the message, or closes the
/// connection with code 1008, where the decision refuses.
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
    use std::sync::{Arc, Mutex};

    use actix_web::{App, HttpResponse, test, test::TestRequest, web};
    use limiter_actix::{Limiter, Policy, RateLimit, RateLimited};

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn each_message_counts_for_whom_the_request_did() {
        let limiter = Limiter::builder()
            .policy(Policy::new("connect", "5/minute").unwrap())
            .policy(Policy::new("messages", "3/second").unwrap());
        let limiter = limiter.build().await.unwrap();
        let messages = limiter.policy("messages").unwrap();
        let opened = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&opened);
        let upgrade = move |limited: RateLimited| {
            let permit = limited.permit().expect("the request was counted");
            *kept.lock().unwrap() = MessageLimit::new(messages.clone(), permit);
            async { HttpResponse::SwitchingProtocols().finish() }
        };
        let app = App::new()
            .wrap(RateLimit::new(limiter.policy("connect").unwrap()))
            .route("/chat", web::get().to(upgrade));
        let app = test::init_service(app).await;
        assert_eq!(send(&app, TestRequest::get().uri("/chat")).await.status, 101);

        let limit = opened.lock().unwrap().take().expect("the handler has run");
        let mut allowed = Vec::new();
        for _ in 0..5 {
            allowed.push(limit.count().await.unwrap().is_allowed());
        }
        assert_eq!(allowed, [true, true, true, false, false]);
    }
}

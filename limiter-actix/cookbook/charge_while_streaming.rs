//! A budget of tokens for answers that stream: what an answer costs is known only as it
//! is written, so each piece charges what has been used until then.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    HttpResponse, Responder,
    body::{BodySize, MessageBody},
    web::Bytes,
};
use limiter_actix::{Permit, RateLimited};

/// An answer of a language model, token by token.
struct Answer {
    tokens: std::vec::IntoIter<&'static str>,
    used: u64,
    /// None for a client that is not counted.
    permit: Option<Permit>,
}

impl MessageBody for Answer {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let Some(token) = self.tokens.next() else { return Poll::Ready(None) };
        self.used += 1;
        // It goes on by itself: the answer does not wait for the store.
        if let Some(permit) = &self.permit {
            drop(permit.charge_to(self.used));
        }
        Poll::Ready(Some(Ok(Bytes::from_static(token.as_bytes()))))
    }
}

/// The handler, behind `RateLimit::new(limiter.policy("tokens")?)`. The check charges one
/// token; a client that has none left is refused before anything is written.
pub async fn complete(limited: RateLimited) -> impl Responder {
    let tokens = vec!["the ", "quick ", "brown ", "fox "].into_iter();
    HttpResponse::Ok().body(Answer { tokens, used: 0, permit: limited.permit().cloned() })
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test, test::TestRequest, web};
    use limiter_actix::{Limiter, Policy, RateLimit};

    use super::*;
    use crate::test_helpers::send;

    #[actix_web::test]
    async fn each_token_is_charged_and_the_last_answer_is_not_cut() {
        let policy = Policy::new("tokens", "10/hour").unwrap();
        let limiter = Limiter::builder().policy(policy).build().await.unwrap();
        let limit = RateLimit::new(limiter.policy("tokens").unwrap());
        let app = App::new().wrap(limit).route("/", web::get().to(complete));
        let app = test::init_service(app).await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let answer = send(&app, TestRequest::get()).await;
            assert!(answer.status == 429 || answer.body == "the quick brown fox ");
            statuses.push(answer.status);
        }
        // The third overdraws the budget by two tokens, which the next one waits for.
        assert_eq!(statuses, [200, 200, 200, 429]);
    }
}

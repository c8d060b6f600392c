//! The client is gone, or the store: what was reserved stays so, and nothing is settled
//! twice.

use std::{
    pin::pin,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
};

use actix_web::{App, HttpResponse, test, web};
use limiter_actix::RateLimit;
use limiter_core::{OnStoreError, Policy};

use super::{admit, left, limiter, reserving};
use crate::switchable_store::SwitchableStore;

async fn never_answers() -> HttpResponse {
    std::future::pending().await
}

/// Sends 100 requests and drops each in its handler. Returns how many have reached it, and
/// what the next one is answered, if it is.
async fn hang_up(policy: Policy) -> (u32, Option<u16>) {
    let store = SwitchableStore { slowness: 1, ..SwitchableStore::default() };
    let limiter = limiter(store, policy).await;
    let limit = RateLimit::new(limiter.policy("login").unwrap());
    let app = App::new().wrap(limit).route("/", web::post().to(never_answers));
    let service = test::init_service(app).await;
    let request =
        || test::TestRequest::post().peer_addr("192.0.2.1:5000".parse().unwrap()).to_request();
    let mut handled = 0;
    for _ in 0..100 {
        let mut answer = Box::pin(test::try_call_service(&service, request()));
        let mut context = Context::from_waker(Waker::noop());
        let is_answered = (0..9).any(|_| answer.as_mut().poll(&mut context).is_ready());
        handled += u32::from(!is_answered);
        drop(answer);
        for _ in 0..9 {
            tokio::task::yield_now().await;
        }
    }
    let mut answer = pin!(test::call_service(&service, request()));
    let mut context = Context::from_waker(Waker::noop());
    let answers = (0..9).map(|_| answer.as_mut().poll(&mut context));
    let status = answers.filter_map(|answer| match answer {
        Poll::Ready(response) => Some(response.status().as_u16()),
        Poll::Pending => None,
    });
    (handled, status.take(1).next())
}

#[actix_web::test]
async fn hanging_up_before_the_answer_is_not_free() {
    let policy = || Policy::new("login", "5/hour").unwrap();
    for policy in [
        policy().with_count_only([401]).unwrap(),
        policy().with_refund(["4xx", "5xx"]).unwrap(),
        Policy::new("login", "1000/hour").unwrap().with_ban(reserving(5)),
    ] {
        assert_eq!(hang_up(policy).await, (5, Some(429)));
    }
    // Unless it is named.
    assert_eq!(hang_up(policy().with_refund([499]).unwrap()).await, (100, None));
}

#[tokio::test]
async fn a_settlement_that_the_store_does_not_take_is_counted_and_not_repeated() {
    for on_store_error in [OnStoreError::Local, OnStoreError::Allow, OnStoreError::Deny] {
        let policy = Policy::new("api", "5/hour").unwrap().with_refund(["5xx"]).unwrap();
        let store = SwitchableStore::default();
        let limiter = limiter(store.clone(), policy.with_on_store_error(on_store_error)).await;
        let api = limiter.policy("api").unwrap();
        let permit = admit(&api, 2).await.unwrap();
        store.off.store(true, Ordering::Relaxed);
        permit.record_response(500).await;
        assert_eq!(limiter.stats().lost_settlements, 1, "{on_store_error:?}");
        assert_eq!(permit.fields()[1].1, "\"api\";r=3;t=2160", "the charge shows");

        store.off.store(false, Ordering::Relaxed);
        permit.record_response(500).await;
        assert_eq!(limiter.stats().lost_settlements, 1, "{on_store_error:?}");
        assert_eq!(left(&api).await, 3, "{on_store_error:?}: what was lost stays charged");
    }
}

#[tokio::test]
async fn a_settlement_whose_answer_was_lost_is_not_sent_again() {
    let policy = Policy::new("api", "5/hour").unwrap().with_refund(["5xx"]).unwrap();
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone(), policy).await;
    let api = limiter.policy("api").unwrap();
    let permits = [admit(&api, 2).await.unwrap(), admit(&api, 2).await.unwrap()];
    store.mute.store(true, Ordering::Relaxed);
    permits[0].record_response(500).await;
    store.mute.store(false, Ordering::Relaxed);
    permits[0].record_response(500).await;
    permits[0].charge_to(0).await;
    assert_eq!((left(&api).await, limiter.stats().lost_settlements), (3, 1), "applied once");
}

/// Units that were charged in memory while the store was away are given back there, and are
/// not charged to the store afterwards.
#[tokio::test]
async fn what_was_charged_without_the_store_is_given_back_without_it() {
    let policy = Policy::new("api", "5/hour").unwrap().with_refund(["5xx"]).unwrap();
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone(), policy).await;
    let api = limiter.policy("api").unwrap();
    store.off.store(true, Ordering::Relaxed);
    for _ in 0..20 {
        let permit = admit(&api, 2).await.expect("what was given back is there again");
        permit.record_response(500).await;
    }
    let kept = admit(&api, 1).await.unwrap();
    kept.record_response(200).await;
    assert_eq!(limiter.stats().lost_settlements, 0);
    store.off.store(false, Ordering::Relaxed);
    // The next request charges to the store what is left to be charged.
    admit(&api, 1).await.unwrap().record_response(200).await;
    assert_eq!(left(&api).await, 3);
}

/// More is charged in memory while the store is away, and to the store afterwards.
#[tokio::test]
async fn what_is_charged_more_without_the_store_is_charged_to_it_afterwards() {
    let store = SwitchableStore::default();
    let limiter = limiter(store.clone(), Policy::new("api", "10/hour").unwrap()).await;
    let api = limiter.policy("api").unwrap();
    let permit = admit(&api, 1).await.unwrap();
    store.off.store(true, Ordering::Relaxed);
    permit.charge_to(5).await;
    assert_eq!(limiter.stats().lost_settlements, 0);
    store.off.store(false, Ordering::Relaxed);
    assert!(admit(&api, 1).await.is_some());
    assert_eq!(left(&api).await, 4);
}

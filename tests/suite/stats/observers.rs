//! Observers: which events they get, and that none of them harms a request.

use std::sync::{Mutex, mpsc};

use limiter_core::{Event, Limiter, Policy};

use super::{
    events::{Seen, observed, policy},
    shadow::Lines,
};
use crate::{alone::alone, test_request::from};

#[tokio::test]
async fn refusals_are_events_for_those_who_ask() {
    let (without, with) = (Seen::default(), Seen::default());
    let list = with.clone();
    let limiter = observed(&without)
        .refusal_observer(move |event: &Event| list.note(event))
        .policy(Policy::new("api", "2/hour; 9/day").unwrap())
        .build()
        .await
        .unwrap();
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 4).await, 2);
    assert!(without.take(0).is_empty());
    assert_eq!(with.take(2), ["refused api ip=192.0.2.1  2/1h"; 2]);
}

/// It is called again, and its panics do no harm but one line in the log.
#[test]
fn an_observer_that_panics_harms_no_request() {
    alone("stats::observers::an_observer_that_panics_harms_no_request", || {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(bans_before_an_observer_that_panics());
        let text = lines.text();
        assert_eq!(text.matches("an observer has panicked").count(), 1, "{text}");
    });
}

async fn bans_before_an_observer_that_panics() {
    let (panics, seen) = (Seen::default(), Seen::default());
    let list = panics.clone();
    let limiter = observed(&seen)
        .observer(move |event: &Event| {
            list.note(event);
            panic!("as asked");
        })
        .policy(policy())
        .build()
        .await
        .unwrap();
    for n in 0..3 {
        assert_eq!(from(&format!("192.0.2.{n}")).admitted(&limiter, "api", 5).await, 1);
    }
    assert_eq!((panics.take(3).len(), seen.take(3).len()), (3, 3));
}

/// One that blocks its thread for good: requests go on, and a bounded number of events
/// waits.
#[tokio::test]
async fn an_observer_that_sleeps_harms_no_request() {
    let (awake, asleep) = mpsc::channel::<()>();
    let (asleep, seen) = (Mutex::new(asleep), Seen::default());
    let list = seen.clone();
    let limiter = Limiter::builder()
        .observer(move |event: &Event| {
            let _ = asleep.lock().unwrap().recv();
            list.note(event);
        })
        .policy(policy())
        .build()
        .await
        .unwrap();
    for n in 0..2_000 {
        let client = from(&format!("192.0.{}.{}", n / 250, n % 250));
        assert_eq!(client.admitted(&limiter, "api", 3).await, 1);
    }
    assert!(seen.take(0).is_empty());
    drop(awake);
    let observed = seen.take(1_024).len() + seen.take(0).len();
    assert!((1_024..=1_025).contains(&observed), "{observed}");
}

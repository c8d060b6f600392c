//! Events: which there are, their stream, and the log.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use limiter_core::{
    AdmitOptions, BanCause, BanRule, Event, Key, Limiter, LimiterBuilder, Mode, OnStoreError,
    Policy, Verdict,
};
use tracing_subscriber::fmt::format::FmtSpan;

use super::shadow::Lines;
use crate::{
    databases::{builder, sqlite_url, unique},
    switchable_store::SwitchableStore,
    test_request::from,
};

pub(super) fn policy() -> Policy {
    let hour = Duration::from_secs(3_600);
    let rule = BanRule::after_strikes(2).within(hour).for_duration(hour).unwrap();
    Policy::new("api", "1/hour").unwrap().with_ban(rule.with_statuses([401]).unwrap())
}

/// The events that an observer has received, each as its name and key.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(super) fn note(&self, event: &Event) {
        let event = serde_json::to_value(event).unwrap();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let parts = ["event", "policy", "key", "cause", "quota"].map(text);
        self.0.lock().unwrap().push(parts.join(" ").trim_end().to_owned());
    }

    /// Waits until there are so many, and takes all.
    pub(super) fn take(&self, count: usize) -> Vec<String> {
        let start = Instant::now();
        thread::sleep(Duration::from_millis(20));
        while self.0.lock().unwrap().len() < count {
            assert!(start.elapsed() < Duration::from_secs(30), "no {count} events");
            thread::sleep(Duration::from_millis(5));
        }
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(super) fn observed(seen: &Seen) -> LimiterBuilder {
    let seen = seen.clone();
    Limiter::builder().observer(move |event: &Event| seen.note(event))
}

#[tokio::test]
async fn bans_and_changes_by_hand_are_events() {
    let seen = Seen::default();
    let limiter = observed(&seen).policy(policy()).build().await.unwrap();
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 5).await, 1);
    assert_eq!(seen.take(1), ["banned api ip=192.0.2.1 refusals"]);

    let key = Key::ip("192.0.2.1".parse().unwrap());
    limiter.unban("api", &key).await.unwrap();
    limiter.ban("api", &key, Duration::from_secs(9)).await.unwrap();
    limiter.forgive("api", &key).await.unwrap();
    let by_hand = [
        "lifted api ip=192.0.2.1",
        "banned api ip=192.0.2.1 operator",
        "forgiven api ip=192.0.2.1",
    ];
    assert_eq!(seen.take(3), by_hand);
}

#[tokio::test]
async fn a_response_that_bans_is_an_event() {
    let seen = Seen::default();
    let rule = policy().ban().unwrap().clone();
    let policy = Policy::new("api", "5/hour").unwrap().with_ban(rule);
    let limiter = observed(&seen).policy(policy).build().await.unwrap();
    let (api, request) = (limiter.policy("api").unwrap(), from("192.0.2.1"));
    for _ in 0..2 {
        assert!(seen.take(0).is_empty());
        let admission = api.admit(&request, AdmitOptions::default()).await.unwrap();
        admission.permit().unwrap().record_response(401).await;
    }
    assert_eq!(seen.take(1), ["banned api ip=192.0.2.1 responses"]);
    let stats = limiter.stats().policies["api"].clone();
    assert_eq!((stats.strikes, stats.bans.responses), (2, 1));
}

#[tokio::test]
async fn shadow_bans_are_events_of_their_own() {
    let seen = Seen::default();
    let limiter = observed(&seen).policy(policy().with_mode(Mode::Shadow)).build().await.unwrap();
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 50).await, 50);
    let events = seen.take(2);
    let expected =
        ["would_be_refused api ip=192.0.2.1", "would_be_banned api ip=192.0.2.1 refusals"];
    assert_eq!(events, expected);
}

/// A reader that sleeps loses events beyond the capacity, and knows how many.
#[tokio::test]
async fn a_stream_is_bounded_and_counts_what_it_drops() {
    let limiter = Limiter::builder().policy(policy()).build().await.unwrap();
    let mut events = limiter.events(10);
    for n in 0..25 {
        assert_eq!(from(&format!("192.0.2.{n}")).admitted(&limiter, "api", 3).await, 1);
    }
    assert_eq!(events.dropped(), 15);
    for n in 0..10 {
        let Some(Event::Banned { key, cause, .. }) = events.next().await else { panic!("no ban") };
        assert_eq!((key.to_string(), cause), (format!("ip=192.0.2.{n}"), BanCause::Refusals));
    }
    assert!(events.try_next().is_none());
}

/// A reader that waits is woken by an event, and by the end of the limiter.
#[tokio::test]
async fn a_stream_waits_and_ends_with_the_limiter() {
    let limiter = Limiter::builder().policy(policy()).build().await.unwrap();
    let mut events = limiter.events(1);
    let reader = tokio::spawn(async move {
        let mut read = 0;
        while events.next().await.is_some() {
            read += 1;
        }
        read
    });
    tokio::task::yield_now().await;
    assert_eq!(from("192.0.2.1").admitted(&limiter, "api", 3).await, 1);
    tokio::task::yield_now().await;
    // A stream whose reader is gone is forgotten.
    drop(limiter.events(5));
    drop(limiter);
    assert_eq!(reader.await.unwrap(), 1);
}

#[tokio::test]
async fn an_outage_of_the_store_is_two_events() {
    let (seen, store) = (Seen::default(), SwitchableStore::default());
    let limiter = observed(&seen)
        .store(store.clone())
        .policy(policy().with_on_store_error(OnStoreError::Allow))
        .build()
        .await
        .unwrap();
    store.off.store(true, Ordering::Relaxed);
    from("192.0.2.1").admitted(&limiter, "api", 10).await;
    let failed = wait_for_event(&seen, &limiter).await;
    assert!(failed.starts_with("store_failed"), "{failed}");
    store.off.store(false, Ordering::Relaxed);
    let back = wait_for_event(&seen, &limiter).await;
    assert!(back.starts_with("store_answers"), "{back}");
}

/// The next event of the store. At most one a second is reported in this process, and of
/// a store without a prober by the calls that probe it.
async fn wait_for_event(seen: &Seen, limiter: &Limiter) -> String {
    for _ in 0..600 {
        let of_store = |event: &String| event.starts_with("store_");
        if let Some(event) = seen.take(0).into_iter().find(of_store) {
            return event;
        }
        from("192.0.2.1").admitted(limiter, "api", 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no event within 30 s");
}

/// Keys that may be secret stand in no event and no line.
#[tokio::test]
async fn secrets_are_in_no_event_and_no_line() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE);
    let _logs = tracing::subscriber::set_default(subscriber.finish());
    let texts = Seen::default();
    let list = texts.clone();
    let limiter = Limiter::builder()
        .refusal_observer(move |event: &Event| {
            let text = format!("{event:?} {}", serde_json::to_string(event).unwrap());
            list.0.lock().unwrap().push(text);
        })
        .policy(policy())
        .build()
        .await
        .unwrap();
    let api = limiter.policy("api").unwrap();
    let subjects = api.subjects_of(&Key::header("x-api-key", b"s3cret"));
    for _ in 0..5 {
        let _ = api.check(&subjects, 1).await.unwrap();
    }
    let (events, lines) = (texts.take(4), lines.text());
    assert!(events.len() >= 4 && events.iter().all(|text| !text.contains("s3cret")), "{events:?}");
    assert!(lines.contains("refused") && !lines.contains("s3cret"), "{lines}");
}

/// A check that waits for the store is a span with its policies and its verdict, and
/// without its key.
#[tokio::test]
async fn a_check_that_waits_is_a_span() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_max_level(tracing::Level::DEBUG);
    let store = builder(sqlite_url(), &unique("span")).connect().await.unwrap();
    let daily = Policy::new("daily", "100/day").unwrap();
    let limiter = Limiter::builder().store(store).policy(policy()).policy(daily);
    let limiter = limiter.build().await.unwrap();
    let _logs = tracing::subscriber::set_default(subscriber.finish());
    let both = limiter.policies(["api", "daily"]).unwrap();
    let subjects = both.subjects_of(&Key::header("x-api-key", b"s3cret"));
    let mut verdicts = Vec::new();
    for _ in 0..5 {
        verdicts.push(both.check(&subjects, 1).await.unwrap().verdict());
    }
    let lines = lines.text();
    for verdict in [Verdict::Allowed, Verdict::Limited, Verdict::Banned] {
        let word = format!("{verdict:?}").to_lowercase();
        let span = format!("limiter.check{{policies=api,daily verdict=\"{word}\"}}");
        assert_eq!(lines.contains(&span), verdicts.contains(&verdict), "{span} in {lines}");
    }
    assert!(verdicts.contains(&Verdict::Allowed) && verdicts.len() > 1, "{verdicts:?}");
    assert!(!lines.contains("s3cret"), "{lines}");
}

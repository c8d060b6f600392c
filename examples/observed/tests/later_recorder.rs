//! A recorder that is installed after requests were counted shows all of them: totals are
//! published once a second, and no request has met a recorder.

use std::{
    thread,
    time::{Duration, Instant},
};

use limiter_actix::{Key, Limiter, Policy};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Time enough on a busy machine.
const SOON: Duration = Duration::from_secs(30);

async fn counted() -> Limiter {
    let policy = Policy::new("api", "10/hour").unwrap();
    let limiter = Limiter::builder().policy(policy).build().await.unwrap();
    let api = limiter.policy("api").unwrap();
    let client = api.subjects_of(&Key::user("alice"));
    for _ in 0..12 {
        let _ = api.check(&client, 1).await.unwrap();
    }
    limiter
}

/// Returns the value of a series once it is there, without a call that publishes it.
fn value(recorder: &PrometheusHandle, series: &str) -> String {
    let start = Instant::now();
    loop {
        let text = recorder.render();
        if let Some(line) = text.lines().find(|line| line.starts_with(series)) {
            return line.rsplit(' ').next().unwrap_or_default().to_owned();
        }
        assert!(start.elapsed() < SOON, "no {series} in {text}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_recorder_that_is_installed_later_shows_everything() {
    let _limiter = actix_web::rt::System::new().block_on(counted());
    // It is published to no recorder meanwhile.
    thread::sleep(Duration::from_millis(1_500));
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    for (outcome, count) in [("allowed", "10"), ("limited", "2"), ("banned", "0")] {
        let series = format!("limiter_requests{{policy=\"api\",outcome=\"{outcome}\"}}");
        assert_eq!(value(&recorder, &series), count, "{outcome}");
    }
    assert_eq!(value(&recorder, "limiter_near_limit{policy=\"api\"}"), "3");
}

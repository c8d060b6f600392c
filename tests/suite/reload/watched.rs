//! Files that are watched: each change is taken, and nothing that is half written.

use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use limiter_core::{Config, Limiter, LimiterBuilder};

use super::{
    PATIENCE, Reloads,
    writing::{Way, Written},
};

fn text(limit: u32) -> String {
    format!("reload = \"watch\"\n[policies.api]\nquota = \"{limit}/hour\"\n")
}

async fn watched(written: &Written, reloads: &Reloads) -> Limiter {
    let config = Config::from_file(written.path()).unwrap();
    reloads.observing(LimiterBuilder::from_config(config)).build().await.unwrap()
}

#[tokio::test]
async fn each_way_of_writing_is_taken() {
    let mut written = Written::new(&text(10));
    let reloads = Reloads::default();
    let limiter = watched(&written, &reloads).await;
    let set = limiter.policy("api").unwrap();
    let mut old = text(10);
    for (n, way) in (11..).zip(Way::ALL) {
        let new = if way == Way::Append { format!("{old}mode = \"shadow\"\n") } else { text(n) };
        let took = written.write(way, &new);
        let event = reloads.wait_after(took);
        assert!(!event.starts_with("refused"), "{way:?}: {event}");
        let policy = &set.current().policies()[0].clone();
        match way {
            Way::Append => assert_eq!(policy.mode(), limiter_core::Mode::Shadow, "{way:?}"),
            _ => assert_eq!(policy.quotas()[0].limit(), u64::from(n), "{way:?}"),
        }
        old = new;
    }
    reloads.assert_no_more();
    assert_eq!(limiter.stats().reloads.applied, 11);
}

/// A file that is completed within 300 ms is never taken before, wherever it was cut.
#[tokio::test]
async fn a_file_that_is_half_written_is_not_taken() {
    let mut written = Written::new(&text(1));
    let reloads = Reloads::default();
    let _limiter = watched(&written, &reloads).await;
    let whole = |n: u32| {
        text(n)
            + "on_store_error = \"deny\"\nban = { threshold = 9, window = \"1h\", duration = \"1h\" }\n"
    };
    let length = whole(2).len();
    for (n, cut) in (2..).zip([0, 1, length / 3, length / 2, length - 70, length - 1]) {
        fs::write(written.path(), &whole(n)[..cut]).unwrap();
        thread::sleep(Duration::from_millis(300));
        written.write(Way::InPlace, &whole(n));
        let event = reloads.wait();
        assert!(event.contains(&format!("quota: \"{}/hour\" -> \"{n}/hour\"", n - 1)), "{event}");
    }
    reloads.assert_no_more();
}

/// An empty file, one that is not there and one that is wrong are refused, each once, and
/// what is in force stays.
#[tokio::test]
async fn a_wrong_file_is_refused_once_and_mended() {
    let mut written = Written::new(&text(1));
    let reloads = Reloads::default();
    let limiter = watched(&written, &reloads).await;
    for (wrong, reason) in [("", "there is none"), ("[policies.api", "limiter.toml")] {
        written.write(Way::Rename, wrong);
        let event = reloads.wait();
        assert!(event.starts_with("refused: ") && event.contains(reason), "{event}");
    }
    fs::remove_file(written.path()).unwrap();
    assert!(reloads.wait().starts_with("refused: there is no file"));
    thread::sleep(Duration::from_secs(1));
    reloads.assert_no_more();
    assert_eq!(limiter.policy("api").unwrap().policies()[0].quotas()[0].limit(), 1);
    assert!(limiter.stats().reloads.refused_since.is_some());
    written.write(Way::Rename, &text(1));
    assert_eq!(reloads.wait(), "");
    assert!(limiter.stats().reloads.refused_since.is_none());
}

/// The thread that watches does not keep the limiter.
#[tokio::test]
async fn the_watcher_ends_with_its_limiter() {
    let written = Written::new(&text(1));
    let reloads = Reloads::default();
    let limiter = watched(&written, &reloads).await;
    assert_eq!(Arc::strong_count(&reloads.0), 2);
    drop(limiter);
    let deadline = Instant::now() + PATIENCE;
    while Arc::strong_count(&reloads.0) > 1 {
        assert!(Instant::now() < deadline, "the limiter is kept");
        thread::sleep(Duration::from_millis(10));
    }
}

//! A shadow policy beside an enforced one.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use limiter_core::{
    BanRule, Key, Limiter, ManualClock, MemoryStore, Mode, Policy, Timestamp, Verdict,
    stats::PolicyStats,
};
use tracing_subscriber::fmt::MakeWriter;

/// Two limiters on clocks that the test moves: the one watches what the other enforces.
struct Pair {
    clock: ManualClock,
    limiters: [Limiter; 2],
}

impl Pair {
    async fn new(tried: Policy) -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let limiter = async |mode| {
            let enforced = Policy::new("api", "100/second").unwrap();
            Limiter::builder()
                .store(MemoryStore::builder().clock(clock.clone()).build())
                .policy(enforced)
                .policy(tried.clone().with_mode(mode))
                .build()
                .await
                .unwrap()
        };
        let limiters = [limiter(Mode::Shadow).await, limiter(Mode::Enforce).await];
        Self { clock, limiters }
    }

    /// Sends the same requests to both, as fast as `api` admits them all. Returns how many
    /// each refuses.
    async fn send(&self, requests: u64) -> [u64; 2] {
        let mut refused = [0; 2];
        for n in 0..requests {
            self.clock.advance(Duration::from_millis(10));
            let key = Key::user(&(n % 7).to_string());
            for (limiter, refused) in self.limiters.iter().zip(&mut refused) {
                let both = limiter.policies(["api", "tried"]).unwrap();
                let decision = both.check(&both.subjects_of(&key), 1).await.unwrap();
                *refused += u64::from(decision.verdict() != Verdict::Allowed);
            }
        }
        refused
    }

    fn tried(&self) -> [PolicyStats; 2] {
        self.limiters.clone().map(|limiter| limiter.stats().policies["tried"].clone())
    }
}

#[tokio::test]
async fn would_be_refusals_are_those_of_a_limiter_that_enforces() {
    let pair = Pair::new(Policy::new("tried", "1/hour").unwrap()).await;
    let refused = pair.send(10_000).await;
    assert_eq!(refused, [0, 10_000 - 7]);
    let [watched, enforced] = pair.tried();
    assert_eq!(watched.shadow_limited, enforced.limited);
    assert_eq!(enforced.limited, refused[1]);
    assert_eq!((watched.allowed, watched.limited), (enforced.allowed, 0));
}

/// The same with bans that begin, end and grow longer.
#[tokio::test]
async fn would_be_bans_are_those_of_a_limiter_that_enforces() {
    let minute = Duration::from_secs(60);
    let rule = BanRule::after_strikes(3).within(minute).for_duration(Duration::from_secs(5));
    let rule = rule.unwrap();
    let pair = Pair::new(Policy::new("tried", "10/minute").unwrap().with_ban(rule)).await;
    let refused = pair.send(20_000).await;
    let [watched, enforced] = pair.tried();
    assert_eq!(refused[0], 0);
    assert!(enforced.limited > 0 && enforced.bans.refusals > 20, "{enforced:?}");
    assert_eq!(watched.shadow_limited, enforced.limited);
    assert_eq!(watched.shadow_banned, enforced.banned);
    assert_eq!(watched.shadow_strikes, enforced.strikes);
    assert_eq!(watched.shadow_bans, enforced.bans.refusals);
    assert_eq!(enforced.limited + enforced.banned, refused[1]);
}

/// Lines that were written to the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Three seconds of would-be refusals, from as many clients as there are requests.
#[tokio::test]
async fn a_shadow_policy_under_load_logs_two_lines_at_most() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
    let policy = Policy::new("tried", "1/hour").unwrap().with_mode(Mode::Shadow);
    // A fast machine makes a million clients: none is to make room for another.
    let store = MemoryStore::builder().max_keys(8_000_000).build();
    let limiter = Limiter::builder().store(store).policy(policy).build().await.unwrap();
    let set = limiter.policy("tried").unwrap();
    let _logs = tracing::subscriber::set_default(subscriber.finish());
    let (start, mut requests) = (Instant::now(), 0_u64);
    while start.elapsed() < Duration::from_secs(3) {
        let subjects = set.subjects_of(&Key::user(&(requests / 4).to_string()));
        for _ in 0..4 {
            let _ = set.check(&subjects, 1).await.unwrap();
            requests += 1;
        }
    }
    let text = lines.text();
    assert!(requests > 1_000 && (1..=2).contains(&text.lines().count()), "{requests}: {text}");
    assert_eq!(limiter.stats().policies["tried"].shadow_limited, requests / 4 * 3);
}

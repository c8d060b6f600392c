use std::{thread, time::Duration};

use crate::{Answer, BanRule, Key, Limiter, Policy};

/// Two threads with ten million decisions each, of which each is in one sum.
#[test]
fn sums_over_two_threads_are_exact() {
    const DECISIONS: u64 = 10_000_000;
    let hour = Duration::from_secs(3_600);
    let rule = BanRule::after_strikes(5_000_000).within(hour).for_duration(hour).unwrap();
    let policy = Policy::new("api", "7000000/day").unwrap().with_ban(rule);
    let built = Limiter::builder().policy(policy).build();
    let limiter = futures_executor::block_on(built).unwrap();
    let set = limiter.policy("api").unwrap();
    thread::scope(|scope| {
        for user in ["a", "b"] {
            let (set, subjects) = (&set, set.subjects_of(&Key::user(user)));
            scope.spawn(move || {
                for _ in 0..DECISIONS {
                    let answer = set.check(&subjects, 1);
                    assert!(matches!(answer, Answer::Ready(Some(Ok(_)))), "{answer:?}");
                }
            });
        }
    });
    let stats = &limiter.stats().policies["api"];
    assert_eq!(stats.allowed + stats.limited, 2 * DECISIONS);
    // A day's quota refills while this runs.
    assert!((14_000_000..15_000_000).contains(&stats.allowed), "{stats:?}");
    assert_eq!(stats.strikes, stats.limited, "{stats:?}");
}

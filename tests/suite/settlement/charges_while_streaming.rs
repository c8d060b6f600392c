//! Costs that are known only afterwards: the tokens of an answer, charged as it streams.

use std::time::Duration;

use limiter_core::{Algorithm, MemoryStore, Permit, Policy, Quota};

use super::{admit, left, limiter};
use crate::{conformance::clock, switchable_store::SwitchableStore};

/// How many answers stream at a time, and the most tokens of one.
const STREAMS: usize = 4;
const ANSWER: u64 = 500;

/// Tokens of an answer that are streamed in a tenth of a second.
const PACE: u64 = 20;

/// An answer that streams.
struct Stream {
    permit: Permit,
    used: u64,
    tokens: u64,
}

/// Numbers that look random (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Streams answers for ten minutes, as many as the budget admits; returns the tokens
/// that were used in each tenth of a second.
async fn stream(algorithm: Algorithm) -> Vec<u64> {
    let clock = clock();
    let quota = "1000/minute".parse::<Quota>().unwrap().with_algorithm(algorithm).unwrap();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let limiter = limiter(store, Policy::new("tokens", quota).unwrap()).await;
    let tokens = limiter.policy("tokens").unwrap();
    let (mut seed, mut used, mut streams) = (0x9E37_79B9_7F4A_7C15, Vec::new(), Vec::new());
    for _ in 0..6_000 {
        let mut now = 0;
        while streams.len() < STREAMS
            && let Some(permit) = admit(&tokens, 1).await
        {
            now += 1;
            streams.push(Stream { permit, used: 1, tokens: 1 + next(&mut seed) % ANSWER });
        }
        for stream in &mut streams {
            let more = PACE.min(stream.tokens - stream.used);
            stream.used += more;
            now += more;
            stream.permit.charge_to(stream.used).await;
        }
        streams.retain(|stream| stream.used < stream.tokens);
        used.push(now);
        clock.advance(Duration::from_millis(100));
    }
    used
}

/// A budget of 1000 tokens a minute: what is used in any minute is at most what the
/// algorithm admits in one, and what was under way when it was used up.
#[tokio::test]
async fn a_budget_is_overdrawn_by_what_is_under_way_at_most() {
    let under_way = STREAMS as u64 * ANSWER;
    for (algorithm, admits) in [
        (Algorithm::Gcra, 1_999),
        (Algorithm::FixedWindow, 2_000),
        (Algorithm::SlidingWindow, 1_999),
        // The limit itself, in any minute.
        (Algorithm::StrictWindow, 1_000),
    ] {
        let used = stream(algorithm).await;
        let most = used.windows(600).map(|minute| minute.iter().sum::<u64>()).max().unwrap();
        let rate = used.iter().sum::<u64>() / 10;
        println!("{algorithm:?}: {most} in the worst minute, {rate} a minute on average");
        assert!(most <= admits + under_way, "{algorithm:?}: {most}");
        // A bucket makes up for what was overdrawn. A window has forgotten it at its end.
        let forgotten = if algorithm == Algorithm::Gcra { under_way / 10 } else { under_way };
        assert!((500..=1_000 + forgotten).contains(&rate), "{algorithm:?}: {rate}");
    }
}

#[tokio::test]
async fn a_total_is_brought_about_any_number_of_times() {
    for slowness in [0, 2] {
        let store = SwitchableStore { slowness, ..SwitchableStore::default() };
        let policy = Policy::new("tokens", "100/day").unwrap();
        let limiter = limiter(store, policy).await;
        let tokens = limiter.policy("tokens").unwrap();
        let permit = admit(&tokens, 1).await.unwrap();
        for total in [7, 7, 3, 90, 4, 0, 0, 30, 31] {
            permit.clone().charge_to(total).await;
            assert_eq!(left(&tokens).await, 100 - total);
        }
        // At once, by many: the last one holds.
        let many = (0..50).map(|total| permit.charge_to(total));
        futures_util::future::join_all(many).await;
        assert_eq!(left(&tokens).await, 100 - 49);
        // The policies' own rule comes last, and is settled but once.
        permit.record_response(200).await;
        assert_eq!(left(&tokens).await, 100 - 49);
    }
}

#[tokio::test]
async fn work_that_no_request_stands_for_is_charged() {
    let limiter = limiter(MemoryStore::new(), Policy::new("tokens", "10/day").unwrap()).await;
    let tokens = limiter.policy("tokens").unwrap();
    let client = tokens.subjects_of(&limiter.ip_key([192, 0, 2, 1].into()));
    tokens.charge(&client, 4).await.unwrap();
    assert_eq!(left(&tokens).await, 6);
    tokens.charge(&client, 40).await.unwrap();
    assert_eq!(left(&tokens).await, 0);
    assert!(admit(&tokens, 1).await.is_none());
}

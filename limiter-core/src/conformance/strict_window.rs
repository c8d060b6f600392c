//! A strict window, against a client that chooses when to send and how much.

use std::time::Duration;

use super::harness::{Harness, wait};
use crate::{Algorithm, Clock, Policy, Quota};

/// Units in any window, its length, and the number of segments.
const LIMIT: u64 = 20;
const WINDOW: u64 = 1_000_003;
const SEGMENTS: u8 = 7;

/// Numbers that look random (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The units that were admitted, each with its instant.
#[derive(Default)]
struct Log(Vec<(u64, u64)>);

impl Log {
    /// Units that were admitted in the half-open interval of that length up to `now`.
    fn units(&self, now: u64, length: u64) -> u64 {
        let within = self.0.iter().filter(|(at, _)| at + length > now);
        within.map(|(_, units)| units).sum()
    }
}

fn strict(harness: &Harness) -> Policy {
    let quota = Quota::new(LIMIT, Duration::from_micros(WINDOW))
        .and_then(|quota| quota.with_algorithm(Algorithm::StrictWindow))
        .and_then(|quota| quota.with_segments(SEGMENTS))
        .expect("the case's quota is one");
    Policy::new(&harness.unique("strict"), quota).expect("the case's name is one")
}

/// A client that sends at random instants, again as soon as it may and a moment before,
/// gets at most the limit in any window, and is refused at most a segment too early.
pub async fn no_schedule_gets_more_than_the_limit_in_any_window(harness: &Harness) {
    let (policies, client) = ([strict(harness)], harness.subject("client"));
    let (mut seed, mut log) = (0x9E37_79B9_7F4A_7C15, Log::default());
    let segment = WINDOW.div_ceil(SEGMENTS.into());
    for _ in 0..300 {
        let cost = 1 + next(&mut seed) % 9;
        let now = harness.clock().now().as_micros();
        let decision = harness.check(&policies, &client, cost).await;
        if decision.is_allowed() {
            log.0.push((now, cost));
            assert!(log.units(now, WINDOW) <= LIMIT, "{:?}", log.0);
        } else {
            let used = log.units(now, WINDOW + segment);
            assert!(used + cost > LIMIT, "too early by more than a segment: {:?}", log.0);
        }
        // At once, at random, or on the edge of what a refusal says.
        let pause = match next(&mut seed) % 4 {
            0 => 0,
            1 => next(&mut seed) % (WINDOW / 4),
            2 if !decision.is_allowed() => micros(wait(&decision)) - 1,
            _ if !decision.is_allowed() => micros(wait(&decision)),
            _ => next(&mut seed) % 1_000,
        };
        harness.advance(Duration::from_micros(pause));
    }
    let units: u64 = log.0.iter().map(|(_, units)| units).sum();
    assert!(units > 5 * LIMIT, "{units} were admitted");
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

//! Checks by words beside checks by usages.

use proptest::prelude::*;

use super::*;

/// The wait of a check, the word it writes, the usage after it, and if that is near the limit.
type Checked = (Wait, Option<u64>, Usage, bool);

fn checked<U: WordUsage>(
    encoding: &WordEncoding,
    word: Option<u64>,
    cost: u64,
    now: Timestamp,
    origin: Timestamp,
) -> Option<Checked> {
    let WordCheck { before, after, wait, charged } = U::check(encoding, word, cost, now, origin)?;
    let usage = if charged.is_some() { after } else { before };
    Some((wait, charged, usage.usage(encoding, now), usage.is_near_limit(encoding, now)))
}

/// Returns the check by the algorithm of a quota.
fn check_of(
    quota: &Quota,
) -> fn(&WordEncoding, Option<u64>, u64, Timestamp, Timestamp) -> Option<Checked> {
    match quota.algorithm() {
        Algorithm::Gcra => checked::<Grains>,
        Algorithm::FixedWindow => checked::<Window>,
        _ => checked::<Windows>,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A check without usage is the same by words, also in the first window of the clock and
    /// of limits that leave a word no room for the time.
    #[test]
    fn no_usage_is_none_by_words(
        limit_bits in 0u32..48, window in 1u64..200_000_000, aligned in any::<bool>(),
        algorithm in prop::sample::select(vec![
            Algorithm::Gcra, Algorithm::FixedWindow, Algorithm::SlidingWindow,
        ]),
        origin in 0u64..300_000_000, later in 0u64..300_000_000, share in 1u64..=4,
    ) {
        let limit = 3 << limit_bits;
        let quota = match Quota::new(limit, Duration::from_micros(window)) {
            _ if aligned => Quota::per_minute(limit).unwrap().with_window_start(Duration::ZERO),
            quota => quota.unwrap().with_algorithm(algorithm),
        };
        let quota = quota.unwrap();
        let (now, origin) = (Timestamp::from_micros(origin + later), Timestamp::from_micros(origin));
        let cost = (quota.burst() / share).max(1);
        let encoding = WordEncoding::new(quota);
        let unused: Usage = Usage::at(quota, None, now);
        let after = unused.charge(cost);
        let word = encoding.pack(&after, origin);
        let expected = word.map(|word| (Wait::None, Some(word), after.clone(), after.is_near_limit()));
        prop_assert_eq!(check_of(&quota)(&encoding, None, cost, now, origin), expected);
    }

    /// A usage and its word are the same, before and after a charge.
    #[test]
    fn a_word_keeps_a_usage_whole(
        quota in quotas(), requests in requests(), step in 0u64..50, cost in 1u64..4,
    ) {
        let origin = Timestamp::from_micros(17);
        let encoding = WordEncoding::new(quota);
        let mut counter = Counter { quota, state: None };
        let mut now = 10_000;
        for (step, taken) in requests {
            now += step;
            counter.take(now, taken);
        }
        let level = counter.level(now);
        let word = encoding.pack(&level, origin);
        if level.quota().algorithm() != Algorithm::StrictWindow {
            prop_assert_eq!(word.is_none(), level.state().is_none());
        }
        if let Some(word) = word {
            let later = Timestamp::from_micros(now + step);
            let read: Usage = encoding.unpack(word, later, origin);
            prop_assert_eq!(&read, &counter.level(now + step));
            let wait = read.wait(cost);
            let after = if wait == Wait::None { read.charge(cost) } else { read };
            if quota.algorithm() == Algorithm::StrictWindow {
                return Ok(());
            }
            if let Some(checked) = check_of(&quota)(&encoding, Some(word), cost, later, origin) {
                let charged = (wait == Wait::None).then(|| encoding.pack(&after, origin)).flatten();
                let near = after.is_near_limit();
                prop_assert_eq!(checked, (wait, charged, after.clone(), near));
                let word = charged.unwrap_or(word);
                prop_assert_eq!(encoding.unpack::<Segments>(word, later, origin), after);
            } else {
                prop_assert_eq!(encoding.pack(&after, origin), None);
            }
        }
    }
}

//! Random quotas of the differential test, and other limits for the same windows.

use std::time::Duration;

use limiter_core::{Algorithm, Policy, Quota, Quotas};
use proptest::prelude::*;

/// Small ones, which a few requests exhaust, some whose products are far beyond 2^53, and
/// some that take up to eighty years to drain.
pub(super) fn quota() -> impl Strategy<Value = Quota> {
    let windows = prop_oneof![1u64..200, Just(1_000), Just(7_777)];
    let small = (1u64..9, windows, 1u64..15);
    let large = (LARGE - 9..LARGE, Just(86_400_000_007u64), LARGE - 9..LARGE);
    let slow = (Just(1), Just(3_650 * 86_400_000_000), 1u64..9);
    prop_oneof![9 => small, 1 => large, 1 => slow].prop_map(|(limit, window, burst)| {
        let quota = Quota::new(limit, Duration::from_micros(window)).unwrap();
        quota.with_burst(burst).unwrap()
    })
}

/// About what fits into a quota.
pub(super) const LARGE: u64 = 999_999_999_999_999;

pub(super) fn quotas() -> impl Strategy<Value = Quotas> {
    let algorithms = prop::sample::select(Algorithm::ALL);
    // A policy may mix them.
    let segments = prop_oneof![2 => Just(12_u8), 1 => 1_u8..8];
    let counted = (quota(), algorithms, segments);
    let counted = counted.prop_map(|(quota, algorithm, segments)| match algorithm {
        Algorithm::Gcra => quota,
        other => with_algorithm(quota.limit(), quota.window(), other, segments),
    });
    let mixed = prop::collection::vec(prop_oneof![9 => counted, 1 => aligned()], 1..4);
    // Those of gcra alone go through fast paths.
    let buckets = prop::collection::vec(quota(), 1..4);
    prop_oneof![2 => mixed, 1 => buckets].prop_map(|quotas| distinct(quotas.into_iter()))
}

/// Windows that begin at a set time: the clock stands at such an instant when a sequence
/// begins, and steps back behind it.
fn aligned() -> impl Strategy<Value = Quota> {
    let windows = prop_oneof![Just(1), Just(2), Just(120)];
    (1u64..9, windows, 0u64..2).prop_map(|(limit, window, minutes)| {
        let quota = Quota::new(limit, Duration::from_secs(window)).unwrap();
        quota.with_window_start(Duration::from_secs(60 * minutes)).unwrap()
    })
}

fn with_algorithm(limit: u64, window: Duration, algorithm: Algorithm, segments: u8) -> Quota {
    let quota =
        Quota::new(limit, window).and_then(|quota| quota.with_algorithm(algorithm)).unwrap();
    match algorithm {
        Algorithm::StrictWindow => quota.with_segments(segments).unwrap(),
        _ => quota,
    }
}

/// One that came up twice is left out.
pub(super) fn distinct(quotas: impl Iterator<Item = Quota>) -> Quotas {
    let mut distinct: Vec<Quota> = Vec::new();
    for quota in quotas {
        if !distinct.contains(&quota) {
            distinct.push(quota);
        }
    }
    Quotas::new(distinct).unwrap()
}

/// How the quotas of a policy differ from those that it began with, as when its
/// configuration is edited: what was used of the same quotas still counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Edit {
    None,
    OtherLimits,
    /// One quota more, of a window that others may have.
    More,
    /// The first of several is missing.
    Fewer,
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => Just(Edit::None),
        2 => Just(Edit::OtherLimits),
        1 => Just(Edit::More),
        1 => Just(Edit::Fewer),
    ]
}

impl Edit {
    pub(super) fn of(self, policy: &Policy) -> Policy {
        let quotas = policy.quotas();
        match self {
            Self::None => policy.clone(),
            Self::OtherLimits => with_quotas(policy, other_limits(policy)),
            Self::More => {
                let more = Quota::new(4, Duration::from_micros(30)).unwrap();
                with_quotas(policy, distinct(quotas.iter().copied().chain([more])))
            }
            Self::Fewer if quotas.len() > 1 => {
                with_quotas(policy, distinct(quotas.iter().skip(1).copied()))
            }
            Self::Fewer => policy.clone(),
        }
    }
}

fn with_quotas(policy: &Policy, quotas: Quotas) -> Policy {
    let changed = Policy::new(policy.name(), quotas).unwrap();
    policy.ban().cloned().into_iter().fold(changed, Policy::with_ban).with_mode(policy.mode())
}

fn other_limits(policy: &Policy) -> Quotas {
    let quotas = policy.quotas().iter().map(|quota| {
        // Small and large ones stay apart, and so do two of one window.
        let other = if quota.limit() > 1_000 { quota.limit() - 5 } else { quota.limit() + 5 };
        let changed = Quota::new(other, quota.window()).unwrap();
        match quota.algorithm() {
            Algorithm::Gcra => changed.with_burst(quota.burst().div_ceil(2)).unwrap(),
            _ if quota.window_start().is_some() => {
                changed.with_window_start(quota.window_start().unwrap()).unwrap()
            }
            algorithm => with_algorithm(other, quota.window(), algorithm, quota.segments()),
        }
    });
    distinct(quotas)
}

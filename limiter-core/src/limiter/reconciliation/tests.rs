//! Memory of reconciliation, and what it does when there is no room.

use std::time::Duration;

use super::*;
use crate::{check::Subject, key::Key, policy::Policy, quota::Quotas};

const HOUR: Duration = Duration::from_secs(3600);

fn policy(quotas: &str) -> Policy {
    Policy::new("api", quotas.parse::<Quotas>().unwrap()).unwrap()
}

fn log(keys: usize) -> ReconciliationLog {
    ReconciliationLog::new(MemoryLimits { keys, ..MemoryLimits::default() }, HOUR)
}

/// Charges one unit to each key of a range.
fn charge(log: &ReconciliationLog, policy: &Policy, keys: std::ops::Range<u32>, now: Timestamp) {
    for number in keys {
        let subject = subject(number);
        log.charge(Item { policy, subject: &subject }, 1, now);
    }
}

fn subject(number: u32) -> Subject {
    Subject::new(Key::user(&number.to_string()))
}

fn take(log: &ReconciliationLog, policy: &Policy, number: u32) -> Option<OutageUsage> {
    let (policies, subjects) = ([policy.clone()], [subject(number)]);
    log.take(&Check::new(&policies, &subjects, 1)).into_iter().flatten().next()
}

#[test]
fn a_million_keys_take_64_mb_at_most_and_newcomers_none() {
    const KEYS: u32 = 1_000_000;
    let (log, policy, now) = (log(KEYS as usize), policy("100/h"), SystemClock.now());
    charge(&log, &policy, 0..KEYS, now);
    let full = log.usages.allocated();
    assert!(full <= 64 * KEYS as usize, "{full} bytes");

    charge(&log, &policy, KEYS..KEYS + 10_000, now);
    assert_eq!(log.usages.allocated(), full);
    assert_eq!(log.not_noted.load(Ordering::Relaxed), 10_000);
    assert_eq!(take(&log, &policy, KEYS), None);

    // Those noted are charged again, and are all there.
    charge(&log, &policy, 0..1000, now);
    for number in 0..KEYS {
        let mut expected = OutageUsage::new(&policy, now);
        (0..1 + u32::from(number < 1000)).for_each(|_| expected.charge(1, now));
        let usage = take(&log, &policy, number).map(|usage| usage.at(now));
        assert!(usage.is_some_and(|usage| usage == expected), "{number}");
    }
    assert!(!log.is_used());
    assert!(log.usages.allocated() < 1_000_000, "{} bytes", log.usages.allocated());
}

#[test]
fn usage_is_kept_for_each_quota_whatever_others_the_policy_has() {
    let (log, now) = (log(10), SystemClock.now());
    let [one, both, other] = ["100/m", "1000/h; 100/m", "1000/h"].map(policy);
    charge(&log, &one, 0..1, now);
    charge(&log, &both, 0..1, now);
    // One quota of the two is charged; the other one's units stay.
    let taken = take(&log, &one, 0).unwrap().at(now);
    let mut expected = OutageUsage::new(&one, now);
    (0..2).for_each(|_| expected.charge(1, now));
    assert_eq!(taken, expected);
    assert_eq!((take(&log, &one, 0), log.usages.len()), (None, 1));
    let mut expected = OutageUsage::new(&other, now);
    expected.charge(1, now);
    assert_eq!(take(&log, &other, 0).unwrap().at(now), expected);
    assert_eq!(log.usages.len(), 0);
    // A reset forgets all of them.
    charge(&log, &both, 0..1, now);
    log.forget_units(Item { policy: &one, subject: &subject(0) });
    assert_eq!(log.usages.len(), 0);
}

#[test]
fn noted_usage_is_put_back_though_there_is_no_room() {
    let (log, policy, now) = (log(1), policy("100/m; 1000/h"), SystemClock.now());
    charge(&log, &policy, 0..1, now);
    let usage = [take(&log, &policy, 0)];
    charge(&log, &policy, 1..3, now);
    assert_eq!(log.not_noted.load(Ordering::Relaxed), 1);
    let (policies, subjects) = ([policy.clone()], [subject(0)]);
    let check = Check::new(&policies, &subjects, 1).with_outage_usage(&usage);
    log.failed(&check, true);
    assert_eq!(log.usages.len(), 4);
    assert_eq!(
        take(&log, &policy, 0).map(|usage| usage.at(now)),
        usage[0].clone().map(|u| u.at(now))
    );
}

#[test]
fn usage_that_nobody_has_touched_is_forgotten() {
    let (log, policy, now) = (log(1), policy("100/h"), SystemClock.now());
    charge(&log, &policy, 0..1, now);
    charge(&log, &policy, 1..2, now);
    assert_eq!(log.not_noted.load(Ordering::Relaxed), 1);
    charge(&log, &policy, 1..2, now.after(2 * HOUR));
    assert_eq!((log.usages.len(), log.not_noted.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(take(&log, &policy, 0), None);
}

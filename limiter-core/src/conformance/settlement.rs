//! Cases of settlement: units given back or charged behind, into the window they are of.

use std::time::Duration;

use super::{
    harness::{Harness, policy, rule, secs},
    quotas::counted_by,
};
use crate::{
    Algorithm, Decision, Item, Policy, Subject,
    settlement::{Adjustment, Marks, SettledItem, Settlement},
};

/// The units of an admitted request, to be given back.
fn refund(decision: &Decision, policy: usize, units: u64) -> Adjustment {
    let own = decision.quotas.iter().filter(|status| status.policy() == policy);
    let marks: Marks = own.map(|status| status.usage.mark()).collect();
    Adjustment::Refund { units, marks }
}

async fn adjust(
    harness: &Harness,
    policy: &Policy,
    subject: &Subject,
    adjustment: Adjustment,
) -> Vec<u64> {
    let item = Item { policy, subject };
    let settled = harness.settle(vec![SettledItem::adjusted(item, adjustment)]).await;
    settled[0].usages.iter().map(crate::decide::Usage::remaining).collect()
}

/// A request that is given back has never been charged, and frees no more than itself.
pub async fn what_is_given_back_was_never_charged(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "5/minute");
        let client = harness.subject(algorithm.as_str());
        let _ = harness.check(&policies, &client, 2).await;
        for _ in 0..20 {
            let decision = harness.check(&policies, &client, 1).await;
            assert!(decision.is_allowed(), "{algorithm:?}");
            let left = adjust(harness, &policies[0], &client, refund(&decision, 0, 1)).await;
            assert_eq!(left, [3], "{algorithm:?}");
        }
        let decision = harness.check(&policies, &client, 3).await;
        assert!(decision.is_allowed(), "{algorithm:?}");
        assert!(!harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?}");
        // A part of it, and then the rest.
        let left = adjust(harness, &policies[0], &client, refund(&decision, 0, 2)).await;
        assert_eq!(left, [2], "{algorithm:?}");
    }
}

/// Usage of a limit that was cut to a billionth since would take longer to pay back
/// than any bucket: it counts as the longest debt, and not as none.
pub async fn a_limit_cut_to_a_billionth_keeps_what_was_used(harness: &Harness) {
    let client = harness.subject("client");
    let charged = harness.check(&[policy("cut", "1000000000/hour")], &client, 1_000_000_000).await;
    assert!(charged.is_allowed());
    let cut = [policy("cut", "1/hour")];
    assert!(!harness.check(&cut, &client, 1).await.is_allowed());
    for _ in 0..2 {
        assert_eq!(adjust(harness, &cut[0], &client, refund(&charged, 0, 1)).await, [0]);
        assert!(!harness.check(&cut, &client, 1).await.is_allowed());
    }
}

/// `2/1s` in a fixed window, charged at 0.9 s and given back at 1.1 s: the second window
/// admits exactly 2.
pub async fn nothing_is_given_back_into_another_window(harness: &Harness) {
    let policies = counted_by(Algorithm::FixedWindow, "2/1s");
    let client = harness.subject("client");
    let _ = harness.check(&policies, &client, 1).await;
    harness.advance(Duration::from_millis(900));
    let charged = harness.check(&policies, &client, 1).await;
    harness.advance(Duration::from_millis(150));
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
    harness.advance(Duration::from_millis(50));
    assert_eq!(adjust(harness, &policies[0], &client, refund(&charged, 0, 1)).await, [1]);
    assert!(harness.check(&policies, &client, 1).await.is_allowed());
    assert!(!harness.check(&policies, &client, 1).await.is_allowed());
}

/// Units that time has paid back into a bucket are not given back again; the previous of two
/// sliding windows gives back; and nothing is ever below zero.
pub async fn what_time_has_paid_back_is_not_given_back_again(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "6/minute");
        let client = harness.subject(algorithm.as_str());
        let first = harness.check(&policies, &client, 1).await;
        let second = harness.check(&policies, &client, 5).await;
        harness.advance(secs(10));
        let before = harness.check(&policies, &client, 0).await.quotas()[0].remaining();
        let left = adjust(harness, &policies[0], &client, refund(&first, 0, 1)).await;
        if algorithm == Algorithm::Gcra {
            assert_eq!((before, left), (1, vec![1]), "ten seconds have paid it back");
        }
        for _ in 0..3 {
            adjust(harness, &policies[0], &client, refund(&second, 0, 9)).await;
        }
        harness.advance(secs(121));
        for adjustment in [refund(&first, 0, 1), refund(&second, 0, 5)] {
            assert_eq!(adjust(harness, &policies[0], &client, adjustment).await, [6]);
        }
        assert!(harness.check(&policies, &client, 6).await.is_allowed(), "{algorithm:?}");
        assert!(!harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?}");
    }
}

/// More than the limit is charged without a refusal, and waited for two windows at most:
/// it never counts as nothing.
pub async fn a_charge_beyond_the_limit_is_waited_for(harness: &Harness) {
    for (algorithm, units) in
        Algorithm::ALL.iter().flat_map(|one| [10, 21, 1_000, u64::MAX].map(|units| (*one, units)))
    {
        let policies = counted_by(algorithm, "10/minute");
        let client = harness.subject(&format!("{}-{units}", algorithm.as_str()));
        let _ = harness.check(&policies, &client, 1).await;
        let left = adjust(harness, &policies[0], &client, Adjustment::Charge(units)).await;
        assert_eq!(left, [0], "{algorithm:?} {units}");
        assert!(!harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?} {units}");
        if algorithm != Algorithm::FixedWindow && units > 20 {
            harness.advance(secs(59));
            assert!(
                !harness.check(&policies, &client, 1).await.is_allowed(),
                "{algorithm:?} {units}"
            );
        }
        harness.advance(secs(121));
        assert!(harness.check(&policies, &client, 1).await.is_allowed(), "{algorithm:?} {units}");
    }
}

/// A bucket is charged up to twice its size. Units beyond that are not recorded: they are
/// the first to be given back, nowhere, and what others were charged stays.
pub async fn no_more_is_given_back_than_was_recorded(harness: &Harness) {
    for algorithm in Algorithm::ALL.iter().copied() {
        let policies = counted_by(algorithm, "10/minute");
        let client = harness.subject(algorithm.as_str());
        let _ = harness.check(&policies, &client, 4).await;
        let item = Item { policy: &policies[0], subject: &client };
        let charge = SettledItem::adjusted(item, Adjustment::Charge(1_000));
        let charged = harness.settle(vec![charge]).await.swap_remove(0);
        let refund = |units| Adjustment::Refund { units, marks: charged.marks.clone() };
        let recorded = 1_000 - charged.marks[0].unrecorded;
        let wait = charged.usages[0].reset_after();
        if algorithm == Algorithm::Gcra {
            // Two buckets less a second, of which four units are another request's.
            assert_eq!((recorded, wait), (15, 119_000_000));
            let item = SettledItem::adjusted(item, refund(1_000 - recorded));
            let kept = harness.settle(vec![item]).await.swap_remove(0);
            assert_eq!(kept.usages[0].reset_after(), wait, "none of these was recorded");
        } else {
            assert_eq!(recorded, 1_000, "{algorithm:?}");
        }
        // All of it: what is left is the other request's, and a part of a unit.
        let left = adjust(harness, &policies[0], &client, refund(1_000)).await;
        assert_eq!(left, [if algorithm == Algorithm::Gcra { 5 } else { 6 }], "{algorithm:?}");
    }
}

/// All items of a request are settled in one step, each by what it came to: units off
/// one, units on another, a strike of a third.
pub async fn each_item_is_settled_for_itself(harness: &Harness) {
    let banning = policy("banning", "9/minute")
        .with_ban(rule(1).with_statuses([401]).expect("401 is a status"));
    let policies = [policy("back", "9/minute; 20/hour"), policy("more", "9/minute"), banning];
    let subjects = ["one", "two", "three"].map(|name| harness.subject(name));
    let decision = harness.decide(crate::Check::new(&policies, &subjects, 2)).await;
    assert!(decision.is_allowed());
    let settlement = |at: usize| match at {
        0 => Settlement { adjustment: refund(&decision, 0, 2), strikes: false },
        1 => Settlement { adjustment: Adjustment::Charge(3), strikes: false },
        _ => Settlement { adjustment: refund(&decision, 2, 1), strikes: true },
    };
    let items = policies.iter().zip(&subjects).enumerate();
    let items = items.map(|(at, (policy, subject))| SettledItem {
        item: Item { policy, subject },
        settlement: settlement(at),
    });
    let settled = harness.settle(items.collect()).await;
    let left: Vec<Vec<u64>> = settled
        .iter()
        .map(|settled| settled.usages.iter().map(crate::decide::Usage::remaining).collect())
        .collect();
    assert_eq!(left, [vec![9, 20], vec![4], vec![8]]);
    let bans: Vec<_> = settled.iter().map(|settled| settled.new_ban.is_some()).collect();
    assert_eq!(bans, [false, false, true]);
    assert!(!harness.decide(crate::Check::new(&policies, &subjects, 1)).await.is_allowed());
}

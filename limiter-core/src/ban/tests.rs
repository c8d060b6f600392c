use super::*;
use crate::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

fn rule() -> BanRule {
    BanRule::after_strikes(3).within(MINUTE).for_duration(MINUTE).unwrap()
}

fn struck(rule: &BanRule, offender: BanRecord, times: u32, now: Timestamp) -> BanRecord {
    (0..times).fold(offender, |offender, _| offender.strike(rule, now))
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

#[test]
fn the_threshold_bans_and_clears_the_strikes() {
    let rule = rule();
    let now = at(600);
    let two = struck(&rule, BanRecord::at(&rule, None, None, now), 2, now);
    assert_eq!(two.banned_until(now), None);
    let three = two.strike(&rule, now);
    assert_eq!(three.banned_until(now), Some(at(660)));
    assert_eq!(three.strikes.state(), None);
    assert_eq!(three.banned_until(at(660)), None);
    // While banned neither strikes nor the ban move.
    let more = three.strike(&rule, now);
    assert_eq!((more.ban, more.strikes), (three.ban, three.strikes));
}

#[test]
fn strikes_over_a_window_edge_add_up() {
    let rule = rule();
    // Two strikes at the end of one aligned minute, one right after it.
    let early = struck(&rule, BanRecord::at(&rule, None, None, at(119)), 2, at(119));
    let late = BanRecord::at(&rule, early.strikes.state(), None, at(121));
    assert!(late.strike(&rule, at(121)).banned_until(at(121)).is_some());
    // A window later they are forgotten.
    let forgotten = BanRecord::at(&rule, early.strikes.state(), None, at(240));
    assert!(struck(&rule, forgotten, 2, at(240)).ban.is_none());
}

#[test]
fn bans_escalate_to_the_maximum_and_are_forgiven() {
    let rule = rule()
        .with_factor_thousandths(2_500)
        .and_then(|rule| rule.with_max_duration(MINUTE * 10))
        .and_then(|rule| rule.with_forgive_after(MINUTE))
        .unwrap();
    let mut now = at(600);
    let mut ban = None;
    for seconds in [60, 150, 375, 600, 600] {
        let offender = struck(&rule, BanRecord::at(&rule, None, ban, now), 3, now);
        ban = offender.ban;
        assert_eq!(offender.banned_until(now), Some(now.after(Duration::from_secs(seconds))));
        now = ban.unwrap().until;
    }
    // One microsecond short of the forgiveness it still counts.
    let remembered = now.after(MINUTE - Duration::from_micros(1));
    assert_eq!(rule.next(ban, remembered).duration, 600_000_000);
    assert_eq!(rule.next(ban, now.after(MINUTE)).duration, 60_000_000);
}

#[test]
fn a_short_ban_by_hand_does_not_shorten_the_next() {
    let rule = rule();
    let new = BanRecord::at(&rule, None, None, at(600));
    let by_hand = new.change(&rule, BanChange::Ban(Duration::from_secs(1)), at(600));
    assert_eq!(by_hand.banned_until(at(600)), Some(at(601)));
    assert_eq!(rule.next(by_hand.ban, at(602)).duration, 60_000_000);
    // A ban by hand does not shorten the one in force either.
    let banned = struck(&rule, new, 3, at(600));
    let asked = BanChange::Ban(Duration::from_secs(1));
    assert_eq!(banned.change(&rule, asked, at(600)).banned_until(at(600)), Some(at(660)));
}

#[test]
fn wrong_rules_are_refused() {
    let refused = [
        BanRule::after_strikes(0).within(MINUTE).for_duration(MINUTE),
        BanRule::after_strikes(1).within(Duration::ZERO).for_duration(MINUTE),
        BanRule::after_strikes(1).within(MINUTE).for_duration(Duration::ZERO),
        rule().with_factor_thousandths(999),
        rule().with_max_duration(MINUTE / 2),
        rule().with_statuses([401, 99]),
        rule().with_group("Not A Name"),
        rule().with_forgive_after(MAX_BAN + MINUTE),
    ];
    for result in refused {
        assert!(result.is_err(), "{result:?}");
    }
}

//! Leases beside bans, outages, resets, shadow mode, several policies, and reloads.

use std::time::Duration;

use futures_executor::block_on;

use super::{fixed, policy, simulated_nodes::Nodes, with_slice};
use crate::{BanRule, Key, Mode, OnStoreError, Policy};

#[test]
fn a_ban_ends_the_slice_at_once_here_and_in_time_elsewhere() {
    let minute = Duration::from_secs(60);
    let ban = BanRule::after_strikes(5).within(minute).for_duration(minute).unwrap();
    let nodes = Nodes::new(2, &policy("10000/second").with_ban(ban));
    let tenant = Key::user("tenant");
    with_slice(&nodes, 0);
    block_on(nodes.limiters[1].ban("api", &tenant, minute)).unwrap();
    let admitted = nodes.check_often(0, 200, 2_000);
    assert!((1..=125).contains(&admitted), "{admitted}: for 250 ms at most");
    assert!(!nodes.check(0, 1).is_allowed());

    block_on(nodes.limiters[0].forgive("api", &tenant)).unwrap();
    with_slice(&nodes, 0);
    block_on(nodes.limiters[0].ban("api", &tenant, minute)).unwrap();
    assert!(!nodes.check(0, 1).is_allowed());
}

#[test]
fn a_slice_that_is_refused_strikes_nobody() {
    let minute = Duration::from_secs(60);
    let ban = BanRule::after_strikes(1).within(minute).for_duration(minute).unwrap();
    let nodes = Nodes::new(2, &policy("2000/minute").with_ban(ban));
    // The first node knows of much room, of which the second has left it one unit.
    nodes.check_often(0, 25, 2_000);
    let left = nodes.remaining();
    assert!(nodes.check(1, left - 1).is_allowed());
    let calls = nodes.calls();
    assert_eq!(nodes.check_often(0, 1, 2_000), 1);
    assert_eq!(nodes.calls(), calls + 2, "a slice, and the request alone");
    assert_eq!(nodes.limiters[0].stats().policies["api"].strikes, 0);
    assert!(block_on(nodes.limiters[0].banned("api", &Key::user("tenant"))).unwrap().is_none());
}

#[test]
fn a_slice_is_good_while_the_store_is_away() {
    let nodes = Nodes::new(1, &policy("10000/second").with_on_store_error(OnStoreError::Allow));
    with_slice(&nodes, 0);
    nodes.set_failing(true);
    let before = nodes.leased(0);
    nodes.check_often(0, 20, 2_000);
    assert!(nodes.leased(0) > before, "{before}");
    nodes.check_often(0, 300, 2_000);
    let after = nodes.leased(0);
    assert_eq!(nodes.check_often(0, 100, 2_000), 100, "as on_store_error says");
    assert_eq!(nodes.leased(0), after);
    nodes.set_failing(false);
    with_slice(&nodes, 0);
}

#[test]
fn a_reset_forgets_the_slice() {
    let nodes = Nodes::new(1, &fixed("100000/hour"));
    with_slice(&nodes, 0);
    block_on(nodes.limiters[0].reset("api", &Key::user("tenant"))).unwrap();
    assert_eq!(nodes.remaining(), 100_000);
    assert!(nodes.check(0, 5).is_allowed());
    nodes.pass(300_000);
    nodes.sweep(0);
    assert_eq!(nodes.remaining(), 99_995);
}

#[test]
fn shadow_policies_and_looks_are_not_leased() {
    let nodes = Nodes::new(1, &policy("10000/second").with_mode(Mode::Shadow));
    nodes.check_often(0, 200, 1_000);
    assert_eq!((nodes.calls(), nodes.leased(0)), (200, 0));
    let nodes = Nodes::new(1, &policy("10000/second"));
    for _ in 0..200 {
        nodes.pass(1_000);
        assert!(nodes.check(0, 0).is_allowed());
    }
    assert_eq!((nodes.calls(), nodes.leased(0)), (200, 0));
}

#[test]
fn policies_are_leased_together_or_not_at_all() {
    let other = |lease| Policy::new("other", "400/minute").unwrap().with_lease(lease);
    let nodes = Nodes::of_policies(1, &[policy("10000/second"), other(false)]);
    nodes.check_often(0, 300, 1_000);
    assert_eq!((nodes.calls(), nodes.leased(0)), (300, 0));
    let nodes = Nodes::of_policies(2, &[policy("10000/second"), other(true)]);
    let mut admitted = 0;
    for _ in 0..300 {
        admitted += nodes.check_often(0, 1, 500) + nodes.check_often(1, 1, 500);
    }
    assert!(nodes.leased(0) > 0);
    // 300 ms give two units back, and slices of the second node are small by then.
    assert!((390..=402).contains(&admitted), "{admitted}");
}

#[cfg(feature = "config")]
#[test]
fn a_reload_ends_slices_and_counts_on() {
    use crate::Config;
    let config = |quota| {
        let toml = format!(
            "[policies.api]\nquota = \"{quota}\"\nalgorithm = \"fixed_window\"\nlease = true"
        );
        Config::from_toml(&toml).unwrap()
    };
    let nodes = Nodes::of_config(config("100000/hour"));
    let admitted = with_slice(&nodes, 0);
    nodes.limiters[0].reload_with(config("90000/hour")).unwrap();
    assert_eq!(nodes.remaining(), 90_000 - admitted);
    with_slice(&nodes, 0);
    assert!(nodes.leased(0) > 0);
}

//! The suite that every store has to pass, and a model to compare it with.
//!
//! [`conformance_tests!`](crate::conformance_tests) makes one test of each case,
//! so that a new case reaches every store by construction. It takes a name and
//! an async function that makes a [`Harness`]: a fresh store, or one shared with
//! other trials, and the clock it was given. (The tests it makes are
//! `#[tokio::test]`s of the calling crate.)
//!
//! ```
//! use std::sync::Arc;
//! use limiter_core::{ManualClock, MemoryStore, Timestamp, conformance::Harness};
//!
//! async fn memory() -> Harness {
//!     let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
//!     Harness::new(Arc::new(MemoryStore::builder().clock(clock.clone()).build()), clock)
//! }
//!
//! limiter_core::conformance_tests!(memory, memory());
//! # fn main() {}
//! ```
//!
//! Each case makes keys of its own, so that cases can share a store. What is
//! here is not held stable: cases are added with every release.

mod ban_records;
mod ban_rules;
mod harness;
mod look;
mod outage_usage;
mod policies;
mod quotas;
mod reference_store;
mod settlement;
mod strict_window;

pub use self::{
    ban_records::*, ban_rules::*, harness::Harness, look::*, outage_usage::*, policies::*,
    quotas::*, reference_store::ReferenceStore, settlement::*, strict_window::*,
};

/// Makes a test of each case. See the [module docs](self).
#[macro_export]
macro_rules! conformance_tests {
    ($store:ident, $harness:expr) => {
        $crate::conformance_tests! { @cases $store, $harness,
            exact_where_the_interval_is_not_whole
            every_algorithm_admits_its_limit_and_then_waits
            a_fixed_window_starts_at_the_first_request
            a_fixed_window_starts_at_a_set_time
            windows_at_a_set_time_take_outage_usage
            a_sliding_window_rounds_up
            a_bucket_fills_to_its_burst
            a_bucket_may_take_a_lifetime_to_drain
            a_limit_of_one_passes_once
            a_cost_is_charged_whole_or_not_at_all
            more_than_there_ever_is_never_passes
            a_cost_of_nothing_looks_without_writing
            several_quotas_are_all_or_nothing
            several_policies_are_all_or_nothing
            the_order_of_quotas_makes_no_difference
            keys_and_policies_are_apart
            hostile_keys_are_told_apart
            a_changed_limit_keeps_what_was_used
            a_lowered_burst_keeps_what_was_used
            a_lowered_limit_says_how_long
            a_quota_more_or_less_keeps_the_others
            a_settlement_keeps_quotas_that_it_does_not_know
            a_changed_window_starts_anew
            a_reset_forgets_the_counter_and_not_the_ban
            a_clock_that_steps_back_locks_nobody_out
            a_shadow_policy_watches
            the_largest_quota_is_exact
            the_refusal_that_reaches_the_threshold_is_banned
            a_banned_request_neither_strikes_nor_extends
            strikes_over_a_window_edge_add_up
            bans_escalate_and_are_forgiven
            a_ban_lasts_until_the_quota_lets_pass
            statuses_strike
            refusals_strike_only_where_said
            a_group_shares_strikes_and_bans
            a_request_strikes_a_group_once
            who_is_never_banned_is_only_limited
            bans_by_hand
            a_clock_that_steps_ends_bans_at_the_latest
            a_ban_holds_without_a_counter
            bans_are_found
            bans_are_counted
            a_look_has_everything_and_changes_nothing
            the_next_check_does_what_a_look_says
            outage_usage_is_charged_once
            outage_usage_may_refuse_the_request
            outage_usage_fills_to_the_limit
            outage_usage_fades_as_what_is_charged
            a_ban_of_an_outage_holds_to_the_later_end
            each_item_owes_for_itself
            a_ban_of_an_outage_is_escalated_from
            algorithms_may_be_mixed
            what_is_given_back_was_never_charged
            a_limit_cut_to_a_billionth_keeps_what_was_used
            nothing_is_given_back_into_another_window
            what_time_has_paid_back_is_not_given_back_again
            a_charge_beyond_the_limit_is_waited_for
            no_more_is_given_back_than_was_recorded
            each_item_is_settled_for_itself
            no_schedule_gets_more_than_the_limit_in_any_window
        }
    };
    (@cases $store:ident, $harness:expr, $($case:ident)+) => {
        mod $store {
            #[allow(unused_imports, reason = "the harness's expression may need names of the caller")]
            use super::*;

            $(
                #[tokio::test]
                async fn $case() {
                    let harness: $crate::conformance::Harness = $harness.await;
                    $crate::conformance::$case(&harness).await;
                }
            )+

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn concurrent_requests_admit_exactly_the_limit() {
                let harness: $crate::conformance::Harness = $harness.await;
                let tasks: Vec<_> = (0..64)
                    .map(|_| tokio::spawn(harness.clone().take_from_one_key(50)))
                    .collect();
                let mut admitted = 0;
                for task in tasks {
                    admitted += task.await.expect("the task does not panic");
                }
                assert_eq!(admitted, $crate::conformance::Harness::SHARED_LIMIT);
            }
        }
    };
}

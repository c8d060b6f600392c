//! Random sequences through a store and through the reference model: every
//! field of every decision is the same.

mod quotas;
mod steps;
mod unit_changes;

use std::time::Duration;

use limiter_core::{
    Clock, ManualClock, MemoryStore, Policy, Store, Timestamp, conformance::ReferenceStore,
};
use proptest::prelude::*;

use self::{
    steps::{Step, answer, policies, steps, steps_of_one_rule},
    unit_changes::LastCharges,
};
use crate::{
    conformance::clock,
    databases::{builder, cluster_url, mysql_url, postgres_url, redis_url, sqlite_url, unique},
};

/// Asks a store and the model the same. Neighbouring steps that go `together` are
/// asked of the store at once: it may do all of it in one go, in any order, with
/// the answers of one by one. So they are of different keys or equal, and equal ones
/// have the same answers in some order.
fn compare<S: Store>(
    policies: &[Policy; 3],
    steps: &[Step],
    together: fn(&[Step], &Step) -> bool,
    make: impl AsyncFn(ManualClock) -> S,
) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = clock();
        let sequence = unique("sequence");
        let (store, model) = (make(clock.clone()).await, ReferenceStore::new(clock.clone()));
        let (charges, model_charges) = (LastCharges::default(), LastCharges::default());
        let mut rest = steps;
        while !rest.is_empty() {
            let is_end = |at: &usize| *at == rest.len() || !together(&rest[..*at], &rest[*at]);
            let steps;
            (steps, rest) = rest.split_at((1..=rest.len()).find(is_end).unwrap_or(1));
            move_time(&clock, &steps[0]);
            let now = clock.now();
            let asked =
                steps.iter().map(|step| answer(&store, policies, &sequence, step, now, &charges));
            let mut actual = name_answers(steps, futures_util::future::join_all(asked).await);
            let mut expected = Vec::new();
            for step in steps {
                expected.push(answer(&model, policies, &sequence, step, now, &model_charges).await);
            }
            let mut expected = name_answers(steps, expected);
            actual.sort();
            expected.sort();
            prop_assert_eq!(actual, expected, "{:?}", steps);
        }
        Ok(())
    })
}

/// Each answer behind its step.
fn name_answers(steps: &[Step], answers: Vec<String>) -> Vec<String> {
    steps.iter().zip(answers).map(|(step, answer)| format!("{step:?}: {answer}")).collect()
}

const fn one_by_one(_: &[Step], _: &Step) -> bool {
    false
}

/// All but time, and outage usage, which is charged in a step of its own.
fn at_once(steps: &[Step], next: &Step) -> bool {
    let alone = |step: &Step| {
        let has_usage = matches!(step, Step::Decide { outage_usage: Some(_), .. });
        has_usage || matches!(step, Step::Forward(_) | Step::Back(_))
    };
    // The second of two equal ones gives back what the first has charged.
    let is_settlement = |step: &Step| matches!(step, Step::Settle { .. });
    let fits = |step: &Step| {
        let is_equal = format!("{step:?}") == format!("{next:?}") && !is_settlement(step);
        !alone(step) && (is_equal || step.keys() & next.keys() == 0)
    };
    !alone(next) && steps.iter().all(fits)
}

fn move_time(clock: &ManualClock, step: &Step) {
    match step {
        Step::Forward(micros) => clock.advance(Duration::from_micros(*micros)),
        Step::Back(micros) => clock.set(Timestamp::from_micros(clock.now().as_micros() - micros)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_answers_as_the_model(policies in policies(), steps in steps()) {
        compare(&policies, &steps, one_by_one, async |clock| {
            MemoryStore::builder().clock(clock).build()
        })?;
    }
}

/// Each sequence has keys of its own, since stores outlive it.
macro_rules! answers_as_the_model {
    ($together:ident, $steps:ident: $($database:ident: $url:expr,)+) => {
        $(
            proptest! {
                #![proptest_config(ProptestConfig {
                    failure_persistence: None,
                    ..ProptestConfig::default()
                })]

                #[test]
                fn $database(policies in policies(), steps in $steps()) {
                    compare(&policies, &steps, $together, async |clock| {
                        let builder = builder($url, "differential").clock(clock).pool_size(1);
                        builder.connect().await.expect("the server was started")
                    })?;
                }
            }
        )+
    };
}

answers_as_the_model! { one_by_one, steps:
    redis_answers_as_the_model: redis_url(),
    postgres_answers_as_the_model: postgres_url(),
    mariadb_answers_as_the_model: mysql_url(),
    sqlite_answers_as_the_model: sqlite_url(),
}

// A check of several clients of a cluster charges those in turn, and gives back what one
// refuses. That is as if it had never been charged, but for state that only a clock that
// steps back finds again, and for the rate of debt under another limit.
answers_as_the_model! { one_by_one, steps_of_one_rule:
    a_cluster_answers_as_the_model: cluster_url(),
}

answers_as_the_model! { at_once, steps:
    redis_answers_as_the_model_at_once: redis_url(),
    postgres_answers_as_the_model_at_once: postgres_url(),
    mariadb_answers_as_the_model_at_once: mysql_url(),
    sqlite_answers_as_the_model_at_once: sqlite_url(),
}

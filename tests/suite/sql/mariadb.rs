//! The scripts of MariaDB.

use limiter_core::{BanRule, Key, Policy, Subject};

use super::{MINUTE, number};
use crate::{
    databases::{store, unique},
    remote::{admits, policy, subject},
    servers::start_mariadb,
};
/// How many statements of a kind the server has run.
async fn statements(url: &str, kind: &str) -> i64 {
    let sql = format!(
        "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
         WHERE variable_name = 'com_{kind}'"
    );
    number(url, &sql).await
}

#[tokio::test]
async fn a_check_that_fits_is_one_script_of_mariadb() {
    let url = start_mariadb(&[]);
    let store = store(&url, &unique("one")).await;
    // Updates are of the fast path alone, and inserts of the general form.
    let counted = async |times: usize, policies: &[Policy], who: &[Subject], admitted: bool| {
        let before = (statements(&url, "update").await, statements(&url, "insert").await);
        for _ in 0..times {
            assert_eq!(admits(&store, policies, who).await, admitted);
        }
        let after = (statements(&url, "update").await, statements(&url, "insert").await);
        (after.0 - before.0, after.1 - before.1)
    };
    let alice = subject(Key::user("alice"));
    let rule = BanRule::after_strikes(9).within(MINUTE).for_duration(MINUTE).unwrap();
    let fitting = [policy("100/hour").with_ban(rule)];
    // What the start check has left of the eight that pass the fast path over.
    counted(9, &fitting, &alice, true).await;
    assert_eq!(counted(50, &fitting, &alice, true).await, (50, 0));
    // A new counter: the fast path finds none, and the next eight pass it over.
    assert_eq!(counted(9, &fitting, &subject(Key::user("bob")), true).await, (1, 9));
    assert_eq!(counted(9, &fitting, &subject(Key::user("bob")), true).await, (9, 0));
    // Several quotas are of the general form.
    assert_eq!(
        counted(3, &[policy("50/hour; 9/second")], &subject(Key::user("carol")), true).await,
        (0, 3)
    );
    // A refusal writes nothing.
    let tight = [policy("1/hour")];
    assert_eq!(counted(1, &tight, &subject(Key::user("dave")), true).await, (1, 1));
    assert_eq!(counted(9, &tight, &subject(Key::user("dave")), false).await, (1, 0));
}

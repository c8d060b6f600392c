//! Faults of the line to the server.

use std::time::Duration;

use super::{
    DEADLINE, Drill,
    tcp_proxy::{Mode, Proxy},
};

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future);
}

fn database(url: &str) -> &str {
    url.split("://").next().unwrap_or(url)
}

fn misbehaving(url: &str, fault: &str, mode: Mode) {
    block_on(async {
        let proxy = Proxy::start(url);
        let drill = Drill::start(&proxy.url(url), "alice").await;
        let break_it = async || proxy.set(mode);
        let mend = async || proxy.set(Mode::Permit);
        let report = drill.run(break_it, mend, Duration::from_secs(5)).await;
        report.check(fault, database(url));
        report.check_deny_is_exact(fault);
        assert!(report.during[2].unavailable > 0, "{fault}: nothing happened");
    });
}

fn connections_are_refused(url: &str) {
    block_on(async {
        let proxy = Proxy::start(url);
        let drill = Drill::start(&proxy.url(url), "alice").await;
        let report = drill
            .run(async || proxy.refuse(), async || proxy.accept(), Duration::from_secs(5))
            .await;
        report.check("connections are refused", database(url));
        report.check_deny_is_exact("refused");
        assert!(report.during[2].unavailable > 0, "nothing happened");
    });
}

fn the_server_never_answers(url: &str) {
    misbehaving(url, "the server never answers", Mode::Hang);
}

fn answers_are_cut_off(url: &str) {
    misbehaving(url, "answers are cut off", Mode::Cut);
}

fn answers_take_twice_the_deadline(url: &str) {
    misbehaving(url, "answers take twice the deadline", Mode::Delay(2 * DEADLINE));
}

crate::databases::on_databases! {
    [redis_url postgres_url mysql_url] connections_are_refused
}
crate::databases::on_databases! {
    [redis_url postgres_url mysql_url] the_server_never_answers
}
crate::databases::on_databases! {
    [redis_url postgres_url mysql_url] answers_are_cut_off
}
crate::databases::on_databases! {
    [redis_url postgres_url mysql_url] answers_take_twice_the_deadline
}

//! One client with thousands of connections, honest ones beside it, over HTTP.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use limiter_tests::Server;

use super::{
    Form, alone, assert_none,
    honest::HonestClients,
    http_client::{Answers, Attacker, request},
    on_frameworks,
    service::{Framework, ROUTES, address, start},
};
use crate::databases::unique;

/// Units an hour: fewer than come back while a test runs.
const LIMIT: usize = 20;

/// The most lines that a server may print about an attack.
const MAX_LINES: usize = 20;

/// How long the calm is measured.
const CALM: Duration = Duration::from_millis(500);

/// The pause after each burst.
const PAUSE: Duration = Duration::from_millis(200);

/// The same where latencies are compared, in times of the burst's own. More than
/// half of the honest requests come while the processors are idle then, so that
/// the median shows what the limiter makes clients wait, not how long a server
/// needs for thousands of requests.
const LONG_PAUSE: u32 = 2;

on_frameworks! {
    [redis_url cluster_url postgres_url]
    the_limit_of_an_attacked_client_holds
}

fn the_limit_of_an_attacked_client_holds(framework: Framework, url: &str) {
    let _storm = alone();
    let form = Form::from_environment();
    let server = start(framework, url, &unique("storm"), "quota = \"20/hour\"");
    let mut faults = Vec::new();
    for (way, method, path) in ROUTES {
        let calm = HonestClients::measure(server.port(), method, path, CALM);
        for &connections in form.connections() {
            let lines = server.log().count();
            let storm = attack(&server, method, path, connections, form);
            let storm = Storm { calm: calm.clone(), lines: server.log().count() - lines, ..storm };
            println!("{framework:?} {} {way} {connections} at once: {storm}", scheme(url));
            storm.check(form, &format!("{way}, {connections} at once"), &mut faults);
        }
    }
    if server.log().errors() > 0 {
        faults.push("the store counts as failed".to_owned());
    }
    if !faults.is_empty() {
        faults.push(format!("the log:\n{}", server.log()));
    }
    assert_none(&faults);
}

struct Storm {
    calm: Answers,
    attacker: Answers,
    honest: Answers,
    lines: usize,
}

fn attack(
    server: &Server,
    method: &'static str,
    path: &'static str,
    connections: usize,
    form: Form,
) -> Storm {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut attacker = runtime.block_on(Attacker::connect(server.port(), connections));
    let clients = HonestClients::start(server.port(), method, path);
    let request = request(method, path, &address(), "secret");
    let mut answers = Answers::default();
    for _ in 0..form.bursts() {
        let start = Instant::now();
        answers.merge(runtime.block_on(attacker.burst(&request)));
        if form == Form::Long && !answers.lost.is_empty() {
            // It has failed already: each further burst could take as long as is waited for.
            break;
        }
        let pause = if form == Form::Long { LONG_PAUSE * start.elapsed() } else { PAUSE };
        thread::sleep(pause);
    }
    let honest = clients.stop();
    Storm { calm: Answers::default(), attacker: answers, honest, lines: 0 }
}

impl Storm {
    fn check(&self, form: Form, storm: &str, faults: &mut Vec<String>) {
        let (attacker, honest) = (&self.attacker, &self.honest);
        let is_long = form == Form::Long;
        let waits = is_long && honest.percentile(50) >= 3 * self.calm.percentile(50);
        let admitted = attacker.with(200);
        // Where other tests keep the processors busy, an admitted request may be answered
        // too late, and Rocket prints a line for each client that has left.
        let some_are_late = !is_long
            && (attacker.with(503) > 0 || !attacker.lost.is_empty() || !honest.lost.is_empty());
        // actix-web's own answer to a connection that has been silent for five seconds.
        let silent = if is_long { 0 } else { attacker.with(408) };
        let refused = attacker.with(429) + attacker.with(503) + silent;
        let is_lost = is_long && !(attacker.lost.is_empty() && honest.lost.is_empty());
        let checks = [
            ("more than the limit is admitted", admitted <= LIMIT),
            ("less than the limit is admitted", admitted >= LIMIT || some_are_late),
            ("the attacker is answered otherwise", admitted + refused == attacker.count()),
            ("a request is not answered", !is_lost),
            ("honest clients are refused", honest.with(200) == honest.count()),
            ("honest clients wait", !waits),
            ("the log grows with the attack", self.lines < MAX_LINES || some_are_late),
        ];
        let broken = checks.iter().filter(|(_, holds)| !holds);
        faults.extend(broken.map(|(fault, _)| format!("{storm}: {fault}: {self}")));
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attacker, honest) = (&self.attacker, &self.honest);
        write!(
            f,
            "attacker {:?}, honest {:?}, not answered {:?}, median {:?} (calm {:?}), p99 {:?}, \
             {} lines",
            attacker.statuses,
            honest.statuses,
            attacker.lost.iter().chain(&honest.lost).collect::<Vec<_>>(),
            honest.percentile(50),
            self.calm.percentile(50),
            honest.percentile(99),
            self.lines
        )
    }
}

fn scheme(url: &str) -> &str {
    url.split("://").next().unwrap_or(url)
}

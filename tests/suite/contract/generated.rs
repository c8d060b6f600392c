//! Generated requests against a model: of every method, preflight shape, path
//! encoding, header shape, cost and nesting. None is admitted beyond its policy's
//! quota, and none is refused whose own count allows it.
//!
//! `LIMITER_TEST_GENERATED=1500000` sends that many to each framework instead of
//! [`REQUESTS`]; `LIMITER_TEST_SEED` chooses others.

mod model;
mod random;
mod sender;

use std::{collections::BTreeMap, env, time::Duration};

use limiter_core::ManualClock;

use self::{
    model::{Answer, Model},
    random::Random,
    sender::Sender,
};
use super::{Request, Routes};

/// How many requests the short form sends.
const REQUESTS: u64 = 4_000;

/// How many requests go by until other clients come.
const REQUESTS_OF_CLIENTS: u64 = 400;

/// How many requests go by until the long form prints what there was.
const REQUESTS_OF_A_LINE: u64 = 100_000;

/// The time between clients, longer than all windows and bans.
const DAY: Duration = Duration::from_secs(86_400);

/// Few units, so that every limit is reached. The clock stands still for the same
/// clients, where all algorithms admit as many.
pub(super) const CONFIG: &str = r#"
    trusted_proxies = ["10.0.0.0/8"]
    client_ip_header = "x-forwarded-for"
    fallback_address = "10.0.0.9"
    allow = ["10.1.0.0/16"]
    block = ["198.18.0.0/15"]
    exempt = ["GET /login-page"]
    policies.door = { quota = "45/hour", algorithm = "fixed_window", headers = "none" }
    policies.default = { quota = "14/hour" }
    policies.api = { quota = "13/hour", algorithm = "sliding_window" }
    policies.item = { quota = "2/hour", key = ["ip", "endpoint"] }
    policies.user = { quota = "3/hour", algorithm = "fixed_window", key = "user" }
    policies.tenant = { quota = "2/hour", key = "header:x-api-key", per_address = 2 }
    [policies.login]
    quota = "3/hour"
    algorithm = "fixed_window"
    ban = { threshold = 4, window = "1h", duration = "1h", statuses = [401] }
"#;

/// The charges of one limit in one step, all or nothing.
type Step = &'static [(&'static str, u64)];

/// A route of the contract, and the policies that a request meets there in turn.
struct Target {
    path: &'static str,
    methods: &'static [&'static str],
    steps: &'static [Step],
}

const fn target(
    path: &'static str,
    methods: &'static [&'static str],
    steps: &'static [Step],
) -> Target {
    Target { path, methods, steps }
}

const GET: &[&str] = &["GET"];
const DEFAULT: Step = &[("default", 1)];
const API: Step = &[("api", 1)];
const ITEM: Step = &[("item", 1)];

const TARGETS: [Target; 19] = [
    target("/default", &["GET", "HEAD"], &[DEFAULT]),
    target("/api", GET, &[API]),
    target("/both", GET, &[DEFAULT, API]),
    target("/together", GET, &[&[("default", 1), ("api", 1)]]),
    target("/twice", GET, &[DEFAULT]),
    target("/dear", GET, &[DEFAULT, &[("default", 9)]]),
    target("/dear-together", GET, &[DEFAULT, &[("api", 10)], &[("default", 9)]]),
    target("/by-hand", &["GET", "OPTIONS"], &[API, &[("default", 3)], &[("api", 2)]]),
    target("/spared", &["GET", "HEAD", "POST"], &[DEFAULT]),
    target("/item/7", &["GET", "HEAD", "POST"], &[ITEM]),
    target("/any/7", &["GET", "OPTIONS"], &[ITEM]),
    target("/login-page", &["GET", "HEAD"], &[ITEM]),
    target("/user", GET, &[&[("user", 1)]]),
    target("/tenant", GET, &[&[("tenant", 1), ("tenant.address", 1)]]),
    target("/login", &["POST"], &[&[("login", 1)]]),
    target("/any-login", &["OPTIONS"], &[&[("login", 1)]]),
    target("/login", &["POST"], &[&[("login", 1)]]),
    target("/nothing", &[], &[]),
    target("/items/7", &[], &[]),
];

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"];

/// A request with what the model has to know of it.
struct Generated {
    request: Request,
    sender: Sender,
    target: &'static Target,
    is_preflight: bool,
    /// True if every framework routes it to the target.
    is_plain: bool,
}

/// Sends generated requests, and compares each answer with the model's.
pub(super) async fn run(routes: &impl Routes, clock: &ManualClock) {
    let number = |name: &str, default: u64| {
        env::var(name).map_or(default, |text| text.parse().expect("it is a number"))
    };
    let requests = number("LIMITER_TEST_GENERATED", REQUESTS);
    let mut random = Random::new(number("LIMITER_TEST_SEED", 20));
    let (mut model, mut answers) = (Model::default(), BTreeMap::new());
    for n in 0..requests {
        if n % REQUESTS_OF_CLIENTS == 0 {
            // The usage of others is gone, so that it takes no room in the store.
            clock.advance(DAY);
            model = Model::default();
        }
        let generated = generate(&mut random, n / REQUESTS_OF_CLIENTS);
        let reply = routes.send(&generated.request).await;
        let place = || format!("request {n}: {:?}\n{reply:?}", generated.request);
        // Frameworks differ in which other spellings they route.
        let is_unrouted = [404, 405].contains(&reply.status);
        assert!(!is_unrouted || !generated.is_plain, "{}", place());
        let answer = Answer { status: reply.status, is_unrouted };
        assert_eq!(reply.status, model.status(&generated, &answer), "{}", place());
        *answers.entry(reply.status).or_insert(0) += 1;
        if (n + 1) % REQUESTS_OF_A_LINE == 0 {
            println!("{} requests as expected: {answers:?}", n + 1);
        }
    }
    println!("{answers:?}");
    // All of it happens often.
    for status in [200, 400, 401, 403, 404, 429] {
        assert!(answers[&status] > requests / 100, "{answers:?}");
    }
}

fn generate(random: &mut Random, generation: u64) -> Generated {
    let target = &TARGETS[random.below(TARGETS.len())];
    let is_fitting = !target.methods.is_empty() && !random.one_in(5);
    let method = if is_fitting { random.of(target.methods) } else { random.of(&METHODS) };
    let (path, is_spelled_plainly) = spell(random, target.path);
    let mut sender = Sender::generate(random, generation);
    let is_preflight = sender.add_preflight_headers(random, method);
    let request = Request {
        method,
        path,
        headers: sender.headers.clone(),
        body: random.of(&["secret", "wrong", ""]),
        peer: sender.peer,
    };
    let is_plain = is_spelled_plainly && target.methods.contains(&method);
    Generated { request, sender, target, is_preflight, is_plain }
}

/// Another spelling of a path, and whether it is the plain one.
fn spell(random: &mut Random, path: &str) -> (String, bool) {
    let mut spelled = String::new();
    if random.one_in(8) {
        spelled.push_str(random.of(&["/", "//", "/.", "/x/..", "/%2e", "/%2F"]));
    }
    let encodes = random.one_in(3);
    for c in path.chars() {
        if encodes && c != '/' && random.one_in(3) {
            let byte = u32::from(c);
            let is_upper = random.one_in(2);
            let hex = if is_upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            spelled.push_str(&hex);
        } else if encodes && random.one_in(20) {
            spelled.push(c.to_ascii_uppercase());
        } else {
            spelled.push(c);
        }
    }
    if random.one_in(8) {
        spelled.push_str(random.of(&["/", "//", "/.", "/..", ";v=1", "%20", "%2F", "%00"]));
    }
    let is_plain = spelled == path;
    if random.one_in(6) {
        spelled.push_str(random.of(&["?", "?x=1", "?x=/default", "?_method=PUT", "?x=%2e%2e"]));
    }
    (spelled, is_plain)
}

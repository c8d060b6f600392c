//! Generated requests against a model: of every method, preflight shape, path
//! encoding, header shape and nesting. None is admitted beyond its policy's quota,
//! and none is refused whose own count allows it.
//!
//! `LIMITER_TEST_GENERATED=1500000` sends that many to each framework instead of
//! [`REQUESTS`].

use std::{
    collections::HashMap,
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Request, Routes};

/// How many requests the short form sends.
const REQUESTS: u64 = 4_000;

/// How many requests go by until other clients come.
const REQUESTS_OF_CLIENTS: u64 = 120;

/// Few units, so that every limit is reached. The clock stands still.
pub(super) const CONFIG: &str = r#"
    trusted_proxies = ["10.0.0.0/8"]
    client_ip_header = "x-forwarded-for"
    policies.door = { quota = "60/hour", algorithm = "fixed_window", headers = "none" }
    policies.default = { quota = "25/hour", algorithm = "fixed_window" }
    policies.api = { quota = "22/hour", algorithm = "fixed_window" }
    policies.item = { quota = "4/hour", algorithm = "fixed_window", key = ["ip", "endpoint"] }
"#;

/// The units of each policy.
const LIMITS: [(&str, u64); 4] = [("door", 60), ("default", 25), ("api", 22), ("item", 4)];

/// A route of the contract, and the policies that a request meets there in turn.
struct Target {
    path: &'static str,
    methods: &'static [&'static str],
    limits: &'static [(&'static str, u64)],
}

const TARGETS: [Target; 8] = [
    Target { path: "/default", methods: &["GET", "HEAD"], limits: &[("default", 1)] },
    Target { path: "/api", methods: &["GET"], limits: &[("api", 1)] },
    Target { path: "/both", methods: &["GET"], limits: &[("default", 1), ("api", 1)] },
    Target { path: "/twice", methods: &["GET"], limits: &[("default", 1), ("default", 0)] },
    Target { path: "/dear", methods: &["GET"], limits: &[("default", 1), ("default", 9)] },
    Target { path: "/item/7", methods: &["GET", "HEAD", "POST"], limits: &[("item", 1)] },
    Target { path: "/any/7", methods: &["GET", "OPTIONS"], limits: &[("item", 1)] },
    Target { path: "/nothing", methods: &[], limits: &[] },
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"];

/// A request with what the model has to know of it.
struct Generated {
    request: Request,
    client: IpAddr,
    target: &'static Target,
    is_preflight: bool,
    /// Whether every framework routes it to the target.
    is_plain: bool,
}

/// Pseudo-random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("it is below n")
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Sends generated requests, and compares each answer with the model's.
pub(super) async fn run(routes: &impl Routes) {
    let requests = env::var("LIMITER_TEST_GENERATED").ok();
    let requests = requests.map_or(REQUESTS, |text| text.parse().expect("it is a number"));
    let (mut random, mut model) = (Random(20), Model::default());
    let mut answers = HashMap::new();
    for n in 0..requests {
        let generated = generate(&mut random, n / REQUESTS_OF_CLIENTS);
        let reply = routes.send(&generated.request).await;
        let Generated { request, is_plain, .. } = &generated;
        // Frameworks differ in which other spellings they route.
        let unrouted = Some(reply.status).filter(|status| [404, 405].contains(status));
        assert!(unrouted.is_none() || !is_plain, "request {n}: {request:?}\n{reply:?}");
        let expected = model.answer(&generated, unrouted);
        assert_eq!(reply.status, expected, "request {n}: {request:?}\n{reply:?}");
        *answers.entry(reply.status).or_insert(0) += 1;
    }
    // All of it happens often.
    for status in [200, 404, 429] {
        assert!(answers[&status] > requests / 20, "{answers:?}");
    }
}

fn generate(random: &mut Random, generation: u64) -> Generated {
    let target = &TARGETS[random.below(TARGETS.len())];
    let fitting = !target.methods.is_empty() && !random.one_in(4);
    let method = if fitting { random.of(target.methods) } else { random.of(&METHODS) };
    let (path, is_spelled_plainly) = spell(random, target.path);
    let (client, peer, mut headers) = client(random, generation);
    let is_preflight = add_preflight_headers(random, method, &mut headers);
    let is_plain = is_spelled_plainly && target.methods.contains(&method);
    let request = Request { method, path, headers, body: "", peer: Some(peer) };
    Generated { request, client, target, is_preflight, is_plain }
}

/// Another spelling of a path, and whether it is the plain one.
fn spell(random: &mut Random, path: &str) -> (String, bool) {
    let mut spelled = String::new();
    if random.one_in(12) {
        spelled.push('/');
    }
    let encodes = random.one_in(3);
    for c in path.chars() {
        if encodes && c != '/' && random.one_in(3) {
            let byte = u32::from(c);
            let hex =
                if random.one_in(2) { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            spelled.push_str(&hex);
        } else {
            spelled.push(c);
        }
    }
    if random.one_in(12) {
        spelled.push('/');
    }
    let is_plain = spelled == path;
    if random.one_in(6) {
        spelled.push_str(random.of(&["?", "?x=1", "?x=/default", "?_method=PUT"]));
    }
    (spelled, is_plain)
}

type Headers = Vec<(&'static str, String)>;

/// A client, the peer that it comes by, and the headers that go with it.
fn client(random: &mut Random, generation: u64) -> (IpAddr, IpAddr, Headers) {
    let [.., a, b] = generation.to_be_bytes();
    let n = u8::try_from(random.below(3)).expect("it is below 3");
    let v4 = Ipv4Addr::new(203, a, b, n);
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, u16::from_be_bytes([a, b]), n.into(), 0, 0, 0, 0);
    // All addresses of one /64 are one client.
    let host = Ipv6Addr::from_bits(v6.to_bits() | u128::from(random.next()));
    let spoofed = || format!("198.51.100.{n}");
    match random.below(5) {
        0 => (v4.into(), v4.into(), vec![]),
        1 => (v4.into(), v4.to_ipv6_mapped().into(), vec![("forwarded", "for=1.2.3.4".to_owned())]),
        2 => (v6.into(), host.into(), vec![("x-forwarded-for", spoofed())]),
        3 => {
            let lines = vec![("x-forwarded-for", spoofed()), ("x-real-ip", spoofed())];
            (v4.into(), v4.into(), lines)
        }
        _ => {
            let proxy = Ipv4Addr::new(10, 0, 0, n).into();
            let line =
                if random.one_in(2) { v4.to_string() } else { format!("{}, {v4}", spoofed()) };
            (v4.into(), proxy, vec![("x-forwarded-for", line)])
        }
    }
}

/// Adds some of a preflight's headers. Returns whether it is one.
fn add_preflight_headers(random: &mut Random, method: &str, headers: &mut Headers) -> bool {
    let (origin, requested) = (random.one_in(2), random.one_in(2));
    if origin {
        headers.push(("origin", random.of(&["https://example.org", "null", ""]).to_owned()));
    }
    if requested {
        headers.push(("access-control-request-method", random.of(&["POST", "x"]).to_owned()));
    }
    method == "OPTIONS" && origin && requested
}

/// What each policy has charged: by its name, client, endpoint if it counts by
/// that, and whether preflights.
#[derive(Default)]
struct Model(HashMap<(&'static str, IpAddr, String, bool), u64>);

impl Model {
    /// The status that a request is answered with, which it is charged for.
    fn answer(&mut self, generated: &Generated, unrouted: Option<u16>) -> u16 {
        if !self.charge("door", 1, generated) {
            return 429;
        }
        if let Some(status) = unrouted {
            return status;
        }
        for (policy, units) in generated.target.limits {
            // A preflight takes one unit at each limit, and so nothing of a second one.
            let units = if generated.is_preflight { (*units).min(1) } else { *units };
            if units > 0 && !self.charge(policy, units, generated) {
                return 429;
            }
        }
        200
    }

    fn charge(&mut self, policy: &'static str, units: u64, generated: &Generated) -> bool {
        let Generated { request, client, target, is_preflight, .. } = generated;
        let method = if request.method == "HEAD" { "GET" } else { request.method };
        let by_endpoint = policy == "item";
        let endpoint =
            if by_endpoint { format!("{method} {}", target.path) } else { String::new() };
        let limit = LIMITS.iter().find(|(name, _)| *name == policy).expect("it has one").1;
        let used = self.0.entry((policy, *client, endpoint, *is_preflight)).or_default();
        let fits = *used + units <= limit;
        *used += if fits { units } else { 0 };
        fits
    }
}

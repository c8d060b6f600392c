//! The model: right answers of limits, by counting in maps.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use super::{Generated, Step, sender::Identity};

/// The units of each policy.
const LIMITS: [(&str, u64); 8] = [
    ("door", 45),
    ("default", 14),
    ("api", 13),
    ("item", 2),
    ("login", 3),
    ("user", 3),
    ("tenant", 2),
    ("tenant.address", 4),
];

const DOOR: Step = &[("door", 1)];

/// How many strikes ban a client from `login`.
const STRIKES: u64 = 4;

/// The answer of a framework: it alone knows which spellings it routes.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) is_unrouted: bool,
}

/// Charges, strikes and bans so far.
#[derive(Default)]
pub(super) struct Model {
    used: HashMap<Count, u64>,
    strikes: HashMap<IpAddr, u64>,
    banned: HashSet<IpAddr>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Count {
    policy: &'static str,
    key: String,
    is_preflight: bool,
}

impl Model {
    /// The status that a request is answered with, which it is charged for.
    pub(super) fn status(&mut self, generated: &Generated, answer: &Answer) -> u16 {
        let path = generated.target.path;
        let is_read = ["GET", "HEAD"].contains(&generated.request.method);
        // A spelling that is not routed is not exempt.
        let is_exempt = path == "/login-page" && is_read && !answer.is_unrouted;
        let outcome = if answer.is_unrouted { answer.status } else { handled(generated) };
        let client = match generated.sender.identity {
            _ if is_exempt && (generated.is_plain || answer.status == 200) => return outcome,
            Identity::Client(client) => client,
            Identity::Allowed => return outcome,
            Identity::Blocked => return 403,
            Identity::Unknown => return 400,
        };
        // Where the door is full, a spelling that nobody knows to be routed may be
        // refused by it, and by the endpoint's own limit; neither charges anything.
        let has_room = self.fits(&charges(DOOR, client, generated));
        let is_known = generated.is_plain || answer.status == 200 || has_room;
        let is_spared = path == "/spared" && is_read && !answer.is_unrouted && is_known;
        if !is_spared && !self.charge(DOOR, client, generated) {
            return 429;
        }
        if answer.is_unrouted { outcome } else { self.limits(client, generated, outcome) }
    }

    /// The status of a request that is routed to its target.
    fn limits(&mut self, client: IpAddr, generated: &Generated, outcome: u16) -> u16 {
        for step in generated.target.steps {
            let is_login = step[0].0 == "login";
            if is_login && self.banned.contains(&client) {
                return 403;
            }
            if !self.charge(step, client, generated) {
                return if is_login && self.strike(client) { 403 } else { 429 };
            }
        }
        if outcome == 401 {
            self.strike(client);
        }
        outcome
    }

    /// Strikes a client; true if it is banned for it.
    fn strike(&mut self, client: IpAddr) -> bool {
        let strikes = self.strikes.entry(client).or_default();
        *strikes += 1;
        let is_banned = *strikes >= STRIKES;
        if is_banned {
            self.banned.insert(client);
        }
        is_banned
    }

    /// Charges a step if all of its policies have room.
    fn charge(&mut self, step: Step, client: IpAddr, generated: &Generated) -> bool {
        let charges = charges(step, client, generated);
        let fits = self.fits(&charges);
        for (count, units) in charges.into_iter().filter(|_| fits) {
            *self.used.entry(count).or_default() += units;
        }
        fits
    }

    fn fits(&self, charges: &[(Count, u64)]) -> bool {
        charges.iter().all(|(count, units)| {
            let limit = LIMITS.iter().find(|(name, _)| *name == count.policy).expect("it has one");
            self.used.get(count).copied().unwrap_or_default() + units <= limit.1
        })
    }
}

/// Returns the charge of a step. A preflight takes one unit of each policy, however
/// often it meets that.
fn charges(step: Step, client: IpAddr, generated: &Generated) -> Vec<(Count, u64)> {
    let before = generated.target.steps.iter().take_while(|own| !std::ptr::eq(**own, step));
    let has_met = |policy| before.clone().flat_map(|own| own.iter()).any(|(own, _)| *own == policy);
    let is_preflight = generated.is_preflight;
    let left = step.iter().filter(|(policy, _)| !(is_preflight && has_met(*policy)));
    left.map(|(policy, units)| {
        (count(policy, client, generated), if is_preflight { 1 } else { *units })
    })
    .collect()
}

/// Returns the status of the handler.
fn handled(generated: &Generated) -> u16 {
    let checks = ["/login", "/any-login"].contains(&generated.target.path);
    if checks && generated.request.body != "secret" { 401 } else { 200 }
}

fn count(policy: &'static str, client: IpAddr, generated: &Generated) -> Count {
    let Generated { request, sender, target, is_preflight, .. } = generated;
    let method = if request.method == "HEAD" { "GET" } else { request.method };
    let key = match policy {
        "item" => format!("{client} {method} {}", target.path),
        "user" => sender.user.clone().unwrap_or_else(|| client.to_string()),
        "tenant" => sender.api_key.clone().unwrap_or_else(|| client.to_string()),
        _ => client.to_string(),
    };
    Count { policy, key, is_preflight: *is_preflight }
}

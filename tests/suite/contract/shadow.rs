//! A policy in shadow, and the same one enforced by a second server that gets the same
//! requests: the first refuses nobody, and its would-be refusals are the second's refusals,
//! one by one.

use std::time::Duration;

use limiter_core::stats::PolicyStats;

use super::{Case, Request, Routes, Setup, Stores};
use crate::databases::redis_url;

const REQUESTS: u32 = 10_000;

/// The time between two requests: as fast as the enforced policy admits them all.
const PAUSE: Duration = Duration::from_millis(10);

/// Clients, and ways to the policy: alone, with the other, and apart from it.
const CLIENTS: u32 = 7;
const PATHS: [&str; 3] = ["/default", "/together", "/both"];

/// Texts of the same policies, apart from one word.
macro_rules! policies {
    ($mode:literal, $tried:literal) => {
        concat!(
            "policies.api.quota = \"100/second\"\n[policies.default]\nmode = \"",
            $mode,
            "\"\n",
            $tried
        )
    };
}

/// The policy that is tried in shadow, and enforced.
const ONE_AN_HOUR: [&str; 2] =
    [policies!("shadow", "quota = \"1/hour\""), policies!("enforce", "quota = \"1/hour\"")];

/// The same of a policy whose bans begin and end meanwhile.
const BANS: [&str; 2] = [
    policies!(
        "shadow",
        "quota = \"10/minute\"\nban = { threshold = 3, window = \"1m\", duration = \"5s\" }"
    ),
    policies!(
        "enforce",
        "quota = \"10/minute\"\nban = { threshold = 3, window = \"1m\", duration = \"5s\" }"
    ),
];

/// The outcome of the requests at one server.
#[derive(Debug)]
struct Outcome {
    /// True for those of the status 429 or 403.
    refused: Vec<bool>,
    /// True for those that it would have refused.
    would_be_refused: Vec<bool>,
    tried: PolicyStats,
}

/// The texts of the policy in shadow and enforced, and where the servers keep their state.
pub(crate) fn cases() -> [([&'static str; 2], Stores); 3] {
    [
        (ONE_AN_HOUR, Stores::AtOnce),
        (BANS, Stores::AtOnce),
        (ONE_AN_HOUR, Stores::Shared(redis_url())),
    ]
}

/// Sends the same requests to a server that watches and to one that enforces, and compares
/// what they did.
pub(crate) async fn compare<R: Routes>(
    [watches, enforces]: [&'static str; 2],
    stores: Stores,
    routes: impl AsyncFn(&Setup) -> R,
) {
    let server = async |config| {
        let case = Case { name: "a shadow policy", config, ..Case::default() };
        let setup = case.setup(stores).await;
        send(&setup, &routes(&setup).await).await
    };
    Outcome::compare(&server(watches).await, &server(enforces).await);
}

/// Sends the requests to a server.
async fn send(setup: &Setup, routes: &impl Routes) -> Outcome {
    let tried = || setup.limiter.stats().policies["default"].clone();
    let would_be = |stats: &PolicyStats| stats.shadow_limited + stats.shadow_banned;
    let (mut refused, mut would_be_refused) = (Vec::new(), Vec::new());
    for n in 0..REQUESTS {
        setup.clock.advance(PAUSE);
        let before = would_be(&tried());
        let request = Request {
            method: "GET",
            path: PATHS[n as usize % PATHS.len()].to_owned(),
            headers: Vec::new(),
            body: "",
            peer: Some([192, 0, 2, (n % CLIENTS) as u8].into()),
        };
        let reply = routes.send(&request).await;
        assert!([200, 429, 403].contains(&reply.status), "{n}: {reply:?}");
        refused.push(reply.status != 200);
        would_be_refused.push(would_be(&tried()) > before);
    }
    Outcome { refused, would_be_refused, tried: tried() }
}

impl Outcome {
    fn compare(watches: &Self, enforces: &Self) {
        assert!(!watches.refused.contains(&true), "a shadow policy refuses nobody");
        assert!(!enforces.would_be_refused.contains(&true), "an enforced one refuses for real");
        let mut both = watches.would_be_refused.iter().zip(&enforces.refused);
        assert_eq!(both.position(|(watches, enforces)| watches != enforces), None);
        let (tried, enforced) = (&watches.tried, &enforces.tried);
        assert!(enforced.limited > 0);
        assert_eq!(tried.allowed, enforced.allowed);
        assert_eq!((tried.limited, tried.banned), (0, 0));
        assert_eq!(tried.shadow_limited, enforced.limited);
        assert_eq!(tried.shadow_banned, enforced.banned);
        assert_eq!(tried.shadow_strikes, enforced.strikes);
        assert_eq!(tried.shadow_bans, enforced.bans.refusals);
    }
}

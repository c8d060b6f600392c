//! Requests that are all settled, beside the same requests of which none is: on Redis.

use std::{borrow::Cow, net::IpAddr};

use limiter_core::{AdmitOptions, RequestInfo};

use super::{KEYS, Ours};
use crate::{
    load::{Load, runtime, throughput},
    options::Pace,
    report::{Row, Section, Target, a_second, keys as told},
    rounds::{Contender, in_turn},
    suite::servers::{cluster_url, redis_url},
    work::address,
};

/// Statuses of responses that the policy counts, and that it gives back.
const COUNTED: u16 = 200;
const REFUNDED: u16 = 500;

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let runtime = runtime(None);
    let servers = [("", redis_url()), (", a cluster", cluster_url())];
    let mut rows = Vec::new();
    for (name, url) in servers {
        let ours = runtime.block_on(Ours::connect(url));
        for keys in [KEYS, 1] {
            let contender = |status| -> Contender<'_> {
                let (ours, time) = (ours.clone(), pace.time);
                let ask = move |key| {
                    let ours = ours.clone();
                    async move { ours.serve(key, status).await }
                };
                let runtime = &runtime;
                Box::new(move || runtime.block_on(throughput(time, Load::of(keys), ask.clone())))
            };
            let rounds = in_turn(pace.rounds, vec![contender(REFUNDED), contender(COUNTED)]);
            rows.push(Row {
                work: format!("{}{name}, each given back", told(keys)),
                ours: a_second(rounds.median(0)),
                beside: format!("none given back {}", a_second(rounds.median(1))),
                ratios: vec![rounds.ratio(0, 1)],
                target: Some(Target::AtLeast(0.45)),
            });
        }
    }
    let note = "Requests a second on Redis, 64 in flight, by GCRA with a ban rule and `refund = \
                [\"5xx\"]`: the response to each is a 500, so that its units are given back before \
                the next request, or a 200."
        .to_owned();
    vec![Section { title: "Every request settled", note, rows, limits: LIMITS, charts: Vec::new() }]
}

const LIMITS: &str = "\
a refund is a second call, which carries the mark of its own charge, so that those of one key are no single number; on a \
cluster all of one key's go to one server.";

impl Ours {
    /// Admits a request of that client, and records its response.
    async fn serve(&self, client: usize, status: u16) {
        let request = Request(address(client));
        let admission = self.0.admit(&request, AdmitOptions::default()).await;
        let admission = admission.expect("the store answers");
        let permit = admission.permit().expect("the limit is never reached");
        permit.record_response(status).await;
    }
}

/// A request of that address.
struct Request(IpAddr);

impl RequestInfo for Request {
    fn method(&self) -> &str {
        "GET"
    }

    fn peer_address(&self) -> Option<IpAddr> {
        Some(self.0)
    }

    fn header_lines(&self, _: &str) -> Vec<&[u8]> {
        Vec::new()
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn endpoint(&self) -> Option<Cow<'_, str>> {
        None
    }
}

//! Refunds of one key at once, which remote stores fold: each is given back, and once.

use futures_util::future::join_all;
use limiter_core::{Algorithm, Limiter, Permit, Policy, PolicySet, Quotas};

use super::{admit, limiter};
use crate::databases::{on_databases, store, unique};

const REQUESTS: u64 = 200;

on_databases! {
    [redis_url cluster_url postgres_url mysql_url sqlite_url] refunds_at_once_are_exact
}

async fn limiter_of(url: &str, quotas: &Quotas) -> Limiter {
    let policy = Policy::new("api", quotas.clone()).unwrap().with_refund(["5xx"]).unwrap();
    limiter(store(url, &unique("at_once")).await, policy).await
}

/// Units that the client has left of each quota.
async fn left(policies: &PolicySet) -> Vec<u64> {
    let subjects = policies.subjects_of(&policies.limiter().ip_key([192, 0, 2, 1].into()));
    let decision = policies.check(&subjects, 0).await.unwrap();
    decision.quotas().iter().map(|quota| quota.remaining()).collect()
}

fn refunds_at_once_are_exact(url: &str) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for algorithm in Algorithm::ALL {
            for text in ["1000/day", "1000/day; 2000/day"] {
                let quotas: Quotas = text.parse().unwrap();
                let quotas = quotas.with_algorithm(*algorithm).unwrap();
                let limiter = limiter_of(url, &quotas).await;
                let policies = limiter.policy("api").unwrap();
                let full = left(&policies).await;
                let admitted = join_all((0..REQUESTS).map(|_| admit(&policies, 2))).await;
                let permits: Vec<Permit> = admitted.into_iter().map(Option::unwrap).collect();
                let charged = left(&policies).await;
                // Half of them at the same time as further requests.
                let (refunded, kept) = permits.split_at(permits.len() / 2);
                let refunds = join_all(refunded.iter().map(|permit| permit.record_response(500)));
                let (_, more) =
                    tokio::join!(refunds, join_all((0..50).map(|_| admit(&policies, 2))));
                let shown = refunded.iter().filter(|permit| permit.fields()[1].1.contains("r="));
                assert_eq!(shown.count(), refunded.len());
                let more: Vec<Permit> = more.into_iter().map(Option::unwrap).collect();
                let rest = kept.iter().chain(&more);
                join_all(rest.map(|permit| permit.record_response(503))).await;
                assert_eq!(left(&policies).await, full, "{algorithm:?} {text}, {charged:?} before");
                assert_eq!(limiter.stats().lost_settlements, 0);
            }
        }
    });
}

//! `limitador` in memory: one limit, of each address.

use std::{collections::HashMap, net::IpAddr};

use limitador::{
    RateLimiter,
    limit::{Limit, Namespace},
};

use crate::work::LIMIT;

pub(super) struct Limitador {
    limiter: RateLimiter,
    namespace: Namespace,
}

impl Limitador {
    pub(super) fn new() -> Self {
        let limiter = RateLimiter::new(2_000_000);
        let variable = "address".try_into().expect("it is an expression");
        // It has no windows below a second; a longer one never ends here.
        limiter.add_limit(Limit::new("bench", 3_600 * u64::from(LIMIT), 3_600, [], [variable]));
        Self { limiter, namespace: "bench".into() }
    }

    pub(super) fn check(&self, address: &IpAddr) {
        let context = HashMap::from([("address".to_owned(), address.to_string())]).into();
        let answer = self.limiter.check_rate_limited_and_update(&self.namespace, &context, 1);
        assert!(answer.is_ok_and(|answer| !answer.limited && !answer.counters.is_empty()));
    }
}

//! The engine of `tower-governor`: `governor` with `StateInformationMiddleware`.

use std::{hint::black_box, net::IpAddr, num::NonZeroU32};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter, middleware::StateInformationMiddleware,
};

use crate::work::LIMIT;

pub(super) struct TowerGovernor(DefaultKeyedRateLimiter<IpAddr, StateInformationMiddleware>);

impl TowerGovernor {
    pub(super) fn new() -> Self {
        let limit = NonZeroU32::new(LIMIT).expect("the limit is not zero");
        Self(RateLimiter::keyed(Quota::per_second(limit)).with_middleware())
    }

    pub(super) fn check(&self, address: &IpAddr) {
        let snapshot = black_box(self.0.check_key(address)).expect("the limit is never reached");
        black_box(snapshot.remaining_burst_capacity());
    }
}

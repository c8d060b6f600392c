//! The front door: one policy before everything.
//!
//! Rocket's fairings cannot refuse a request, and rewriting its URI would lose
//! the path. So the door is a route that matches every path before all others,
//! and forwards what it admits.

use limiter_core::PolicySet;
use rocket::{
    Data, Request, Route,
    http::{Method, Status},
    outcome::Outcome,
    route::{self, Handler},
};

use crate::{guard::admit_at_the_door, request_state::RequestState};

/// Every method that Rocket knows; others never reach routing.
const METHODS: [Method; 9] = [
    Method::Get,
    Method::Put,
    Method::Post,
    Method::Delete,
    Method::Options,
    Method::Head,
    Method::Trace,
    Method::Connect,
    Method::Patch,
];

#[derive(Clone, Debug)]
pub(crate) struct BeforeRouting {
    policies: PolicySet,
    counts_preflight: bool,
}

impl BeforeRouting {
    pub(crate) const fn new(policies: PolicySet, counts_preflight: bool) -> Self {
        Self { policies, counts_preflight }
    }

    pub(crate) fn routes(&self) -> Vec<Route> {
        METHODS
            .into_iter()
            .map(|method| {
                let mut route = Route::ranked(isize::MIN, method, "/<path..>", self.clone());
                route.name = Some("rate limiter's front door".into());
                route
            })
            .collect()
    }
}

#[rocket::async_trait]
impl Handler for BeforeRouting {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> route::Outcome<'r> {
        match admit_at_the_door(request, &self.policies, self.counts_preflight).await {
            Ok(()) => Outcome::Forward((data, Status::NotFound)),
            Err(refusal) => {
                let status = Status::new(refusal.status());
                RequestState::of(request).refuse(refusal);
                Outcome::Error(status)
            }
        }
    }
}

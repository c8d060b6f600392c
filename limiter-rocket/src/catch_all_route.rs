//! A limit before routing: one policy for every request.
//!
//! Rocket's fairings cannot refuse a request, and rewriting its URI would lose
//! the path. So the limit is a route that matches every path before all others,
//! and forwards what it admits.

use std::sync::Arc;

use limiter_core::{Exemptions, PolicySet};
use rocket::{
    Data, Request, Route,
    http::{Method, Status},
    outcome::Outcome,
    route::{self, Handler},
};

use crate::admit::admit_before_routing;

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
    exempt: Arc<Exemptions>,
}

impl BeforeRouting {
    pub(crate) fn new(policies: PolicySet, exempt: Exemptions) -> Self {
        Self { policies, exempt: Arc::new(exempt) }
    }

    pub(crate) fn routes(&self) -> Vec<Route> {
        METHODS
            .into_iter()
            .map(|method| {
                let mut route = Route::ranked(isize::MIN, method, "/<path..>", self.clone());
                route.name = Some("rate limit before routing".into());
                route
            })
            .collect()
    }
}

#[rocket::async_trait]
impl Handler for BeforeRouting {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> route::Outcome<'r> {
        match admit_before_routing(request, &self.policies, &self.exempt).await {
            Ok(()) => Outcome::Forward((data, Status::NotFound)),
            Err(refused) => Outcome::Error(refused.status()),
        }
    }
}

//! Helpers of the recipes' tests.

use rocket::{
    Build, Rocket, Route,
    figment::providers::{Format, Toml},
    local::blocking::{Client, LocalResponse},
};

/// Rocket with that configuration and those routes.
pub(crate) fn rocket(toml: &str, routes: Vec<Route>) -> Rocket<Build> {
    let figment = rocket::Config::figment().merge(Toml::string(toml).nested());
    // A test client has no address of its own.
    let figment = figment.join(("limiter.fallback_address", "192.0.2.1"));
    rocket::custom(figment)
        .attach(limiter_rocket::RateLimitFairing::from_config())
        .mount("/", routes)
}

/// A client of it.
pub(crate) fn client(toml: &str, routes: Vec<Route>) -> Client {
    Client::untracked(rocket(toml, routes)).expect("it launches")
}

/// A field of a response.
pub(crate) fn field<'r>(response: &'r LocalResponse<'_>, name: &str) -> &'r str {
    response.headers().get_one(name).unwrap_or_default()
}

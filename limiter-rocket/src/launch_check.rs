//! The checks at launch: of each guard, whose fairing is attached and whose policies are
//! configured, and of what has no effect.

use limiter_core::Exemptions;
use rocket::{Ignite, Orbit, Rocket, Route, Sentinel, config::LogLevel, figment::Figment};

use crate::{
    guard::{MISSING_FAIRING, RateLimited},
    guard_policies::Policies,
    limiter_state::LimiterState,
    request::is_before_routing,
};

impl<P: Policies> Sentinel for RateLimited<P> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let Some(state) = rocket.state::<LimiterState>() else {
            report(rocket.figment(), MISSING_FAIRING);
            return true;
        };
        match state.policies(P::NAMES) {
            Ok(_) => false,
            Err(error) => {
                let name = P::NAMES.iter().find(|name| state.limiter().policy(name).is_err());
                let to_write = name.map_or_else(String::new, |name| {
                    format!("; write [default.limiter.policies.{name}] with a quota in Rocket.toml")
                });
                report(rocket.figment(), &format!("{error}{to_write}"));
                true
            }
        }
    }
}

/// Warns of a limiter that limits no route, and of exempt endpoints that no route is: at
/// liftoff, when all routes are mounted. `exempt` are those of the fairing.
pub(crate) fn warn_of_what_has_no_effect(rocket: &Rocket<Orbit>, exempt: &[String]) {
    let Some(state) = rocket.state::<LimiterState>() else { return };
    if !state.has_guards() && !rocket.routes().any(is_before_routing) {
        tracing::warn!(
            "no route has a RateLimited guard, and no policy is before routing: nothing is \
             limited but what handlers and guards admit by hand"
        );
    }
    let is_route = |pattern: &str| {
        let is_own = |route: &Route| !is_before_routing(route) && route.uri.as_str() == pattern;
        rocket.routes().any(is_own)
    };
    let own = Exemptions::parse(exempt.iter().map(String::as_str)).unwrap_or_default();
    let everywhere = state.limiter().exemptions();
    for pattern in own.patterns().chain(everywhere.patterns()).filter(|own| !is_route(own)) {
        tracing::warn!(
            "exempt: there is no route {pattern:?}, so that nothing is exempt by it; write the \
             whole pattern of a route as Rocket lists it at launch, such as \"/api/users/<id>\""
        );
    }
}

/// Logs what stops the launch, or prints it where no log would show it.
pub(crate) fn report(figment: &Figment, error: &str) {
    tracing::error!("{error}");
    let level: LogLevel = figment.extract_inner("log_level").unwrap_or(LogLevel::Normal);
    let is_printed_by_rocket = cfg!(feature = "log") && level != LogLevel::Off;
    if !is_printed_by_rocket && !tracing::dispatcher::has_been_set() {
        eprintln!("limiter: {error}");
    }
}

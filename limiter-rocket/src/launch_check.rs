//! The launch-time check of each guard: the fairing is attached, and the guard's policies
//! are configured.

use rocket::{Ignite, Rocket, Sentinel};

use crate::{
    fairing::report,
    guard::{MISSING_FAIRING, RateLimited},
    guard_policies::Policies,
    limiter_state::LimiterState,
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
                let name = name.copied().unwrap_or_default();
                let message = format!(
                    "{error}; write [default.limiter.policies.{name}] with a quota in Rocket.toml"
                );
                report(rocket.figment(), &message);
                true
            }
        }
    }
}

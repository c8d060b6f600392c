//! [`RateLimitFairing`]: sets the limiter up at launch, adds the header fields to
//! responses, and records them.

use std::fmt;
#[cfg(feature = "config")]
use std::sync::Arc;

use limiter_core::{Exemptions, KeyPart, Limiter, Permit, Policy};
use rocket::{
    Build, Orbit, Request, Response, Rocket,
    fairing::{self, Fairing, Info, Kind},
};

#[cfg(feature = "config")]
use rocket::figment::Figment;

#[cfg(feature = "config")]
use crate::configuration::BuildAgain;
use crate::{
    answer_refusal::{CatcherFairing, add_field, answer_refusal},
    catch_all_route::BeforeRouting,
    launch_check::{report, warn_of_what_has_no_effect},
    limiter_state::LimiterState,
    lingering_close::linger,
    request::RocketRequest,
    request_state::RequestState,
};

/// Sets a limiter up, shows clients what is left of each policy that counted
/// their request, and records the response.
///
/// ```
/// use limiter_rocket::RateLimitFairing;
///
/// let rocket = rocket::build().attach(RateLimitFairing::from_config().before_routing("everything"));
/// # let _ = rocket;
/// ```
#[derive(Debug)]
#[must_use]
pub struct RateLimitFairing {
    source: Source,
    /// The policies that were named, of which there may be one.
    before_routing: Vec<String>,
    /// Endpoints that the policy before routing leaves out.
    exempt: Vec<String>,
}

const EXEMPT_FROM_NOTHING: &str = "exempt: there is no policy before routing that an endpoint \
                                   could be left out of; write .before_routing(\"<policy>\"), or \
                                   exempt = [...] in the configuration for all policies";

const ATTACHED_TWICE: &str = "a RateLimitFairing is attached twice, and each would count for \
                              itself; attach one";

/// Where the limiter is from.
enum Source {
    Given(Limiter),
    /// Rocket's configuration, and how it is built again.
    #[cfg(feature = "config")]
    Config(Option<Arc<BuildAgain>>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given(_) => "Given",
            #[cfg(feature = "config")]
            Self::Config(_) => "Config",
        })
    }
}

impl RateLimitFairing {
    /// Reads the limiter's configuration from Rocket's: `[default.limiter]` of
    /// Rocket.toml, other profiles, and `ROCKET_LIMITER` in the environment.
    /// The [`Limiter`] is managed, so that handlers can ask for
    /// `&State<Limiter>`.
    #[cfg(feature = "config")]
    pub const fn from_config() -> Self {
        Self::of(Source::Config(None))
    }

    /// Sets how Rocket's configuration is built again when the limiter's is read again: by
    /// [`Limiter::reload`], or with `reload = "watch"` when a file changes. Defaults to
    /// `rocket::Config::figment()`, which is right for what `rocket::build()` makes. An
    /// application with a figment of its own says the function that makes it:
    ///
    /// ```
    /// use limiter_rocket::RateLimitFairing;
    /// use rocket::figment::{Figment, providers::{Format, Toml}};
    ///
    /// fn figment() -> Figment {
    ///     rocket::Config::figment().merge(Toml::file("Shop.toml").nested())
    /// }
    ///
    /// let limits = RateLimitFairing::from_config().read_again(figment);
    /// let rocket = rocket::custom(figment()).attach(limits);
    /// # let _ = rocket;
    /// ```
    ///
    /// A limiter that was built in code has no use for it.
    #[cfg(feature = "config")]
    pub fn read_again(mut self, figment: impl Fn() -> Figment + Send + Sync + 'static) -> Self {
        if let Source::Config(again) = &mut self.source {
            *again = Some(Arc::new(figment));
        }
        self
    }

    /// Uses a limiter that was built in code.
    pub const fn new(limiter: Limiter) -> Self {
        Self::of(Source::Given(limiter))
    }

    /// Checks every request against that policy before it is routed, those for
    /// paths that match no route included: that is where scanners live.
    ///
    /// Requests that never reach routing are not counted: those that cannot be
    /// parsed, and methods that Rocket does not know. An endpoint that the
    /// configuration exempts (`exempt = ["GET /health"]`) is so here, too, if its
    /// route has neither a format nor a query.
    pub fn before_routing(mut self, policy: &str) -> Self {
        self.before_routing.push(policy.to_owned());
        self
    }

    /// Leaves an endpoint out of the policy [before
    /// routing](Self::before_routing): `"GET /health"`, or `"/files/<path..>"` for
    /// all methods. Call it once for each endpoint. The guards of its route still
    /// count; an endpoint that is exempt from those as well belongs into the
    /// configuration.
    ///
    /// The endpoint is the pattern of a route, its mount point included, and is
    /// found by the route that Rocket tries first for the path: see
    /// [`Exemptions`]. What is no endpoint stops the launch, as does an exemption
    /// without a policy before routing.
    pub fn exempt(mut self, endpoint: &str) -> Self {
        self.exempt.push(endpoint.to_owned());
        self
    }

    const fn of(source: Source) -> Self {
        Self { source, before_routing: Vec::new(), exempt: Vec::new() }
    }

    async fn set_up(
        &self,
        rocket: &Rocket<Build>,
    ) -> Result<(Limiter, Option<BeforeRouting>), String> {
        if rocket.state::<LimiterState>().is_some() {
            return Err(ATTACHED_TWICE.to_owned());
        }
        let limiter = self.limiter(rocket).await?;
        let before_routing = self.limit_before_routing(&limiter)?;
        Ok((limiter, before_routing))
    }

    #[cfg_attr(not(feature = "config"), allow(unused_variables, clippy::unused_async))]
    async fn limiter(&self, rocket: &Rocket<Build>) -> Result<Limiter, String> {
        match &self.source {
            Source::Given(limiter) => Ok(limiter.clone()),
            #[cfg(feature = "config")]
            Source::Config(again) => crate::configuration::limiter(rocket, again.as_ref()).await,
        }
    }

    fn limit_before_routing(&self, limiter: &Limiter) -> Result<Option<BeforeRouting>, String> {
        let exempt = Exemptions::parse(self.exempt.iter().map(String::as_str));
        let exempt = exempt.map_err(|error| format!("exempt: {error}"))?;
        let name = match &*self.before_routing {
            [] if exempt.is_empty() => return Ok(None),
            [] => return Err(EXEMPT_FROM_NOTHING.to_owned()),
            [name] => name,
            names => {
                return Err(format!(
                    "before_routing: is written for {}; write it for one, and let guards of the \
                 routes enforce the others",
                    names.join(" and ")
                ));
            }
        };
        let policies = limiter.policy(name).map_err(|error| format!("before_routing: {error}"))?;
        check_key(name, policies.policies())?;
        #[cfg(feature = "config")]
        {
            let policy = name.clone();
            limiter.check_reloads(move |policies| check_key(&policy, policies));
        }
        Ok(Some(BeforeRouting::new(policies, exempt)))
    }
}

/// Checks that the policy before routing does not count by endpoint.
fn check_key(name: &str, policies: &[Policy]) -> Result<(), String> {
    let by_endpoint = |policy: &Policy| {
        policy.name() == name && policy.key().parts().contains(&KeyPart::Endpoint)
    };
    if policies.iter().any(by_endpoint) {
        return Err(format!(
            "before_routing: the policy {name:?} counts by endpoint, but before routing there is \
             none; use another key for it"
        ));
    }
    Ok(())
}

#[rocket::async_trait]
impl Fairing for RateLimitFairing {
    fn info(&self) -> Info {
        Info { name: "Rate limiter", kind: Kind::Ignite | Kind::Liftoff | Kind::Response }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let (limiter, before_routing) = match self.set_up(&rocket).await {
            Ok(both) => both,
            Err(error) => {
                report(rocket.figment(), &error);
                return Err(rocket);
            }
        };
        let rocket = match before_routing {
            Some(before_routing) => rocket.mount("/", before_routing.routes()),
            None => rocket,
        };
        let rocket = rocket.attach(CatcherFairing).manage(LimiterState::new(limiter.clone()));
        // The application may have managed the limiter that it built.
        Ok(match rocket.state::<Limiter>() {
            Some(_) => rocket,
            None => rocket.manage(limiter),
        })
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        warn_of_what_has_no_effect(rocket, &self.exempt);
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let state = RequestState::of(request);
        let permit = state.permit();
        match state.refused() {
            Some(refused) => {
                answer_refusal(request, response, &refused).await;
                linger(request, response).await;
            }
            None => {
                for permit in permit.iter().flat_map(Permit::chain) {
                    permit.check_for_late_user(&RocketRequest::routed(request));
                }
                if let Some(permit) = &permit {
                    permit.record_final_response(response.status().code).await;
                }
            }
        }
        if let Some(permit) = &permit {
            add_permit_fields(response, permit);
        }
    }
}

/// Adds the fields of each limit, in the order in which the request has passed.
fn add_permit_fields(response: &mut Response<'_>, permit: &Permit) {
    if let Some(previous) = permit.chain().nth(1) {
        add_permit_fields(response, previous);
    }
    permit.write_fields(&mut |name, value| add_field(response, name, value));
}

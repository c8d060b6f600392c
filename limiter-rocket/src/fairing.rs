//! [`RateLimitFairing`]: sets the limiter up at launch, tells clients, settles.

use std::{
    any::TypeId,
    env,
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

use limiter_core::{Config, ConfigError, KeyPart, Limiter, Permit, PolicySet, UnknownPolicy};
use rocket::{
    Build, Request, Response, Rocket,
    fairing::{self, Fairing, Info, Kind},
};

use crate::{
    before_routing::BeforeRouting,
    request_state::RequestState,
    response::{add_fields, has_catcher, refuse},
};

/// Sets a limiter up, tells clients what is left of each policy that their
/// request met, and counts what it came to.
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
    limiter: Option<Limiter>,
    before_routing: Option<String>,
    counts_preflight: bool,
}

impl RateLimitFairing {
    /// Reads the limiter's configuration from Rocket's: `[default.limiter]` of
    /// Rocket.toml, other profiles, and `ROCKET_LIMITER` in the environment.
    /// The [`Limiter`] is managed, so that handlers can ask for
    /// `&State<Limiter>`.
    pub const fn from_config() -> Self {
        Self { limiter: None, before_routing: None, counts_preflight: false }
    }

    /// Uses a limiter that was built in code.
    pub const fn new(limiter: Limiter) -> Self {
        Self { limiter: Some(limiter), before_routing: None, counts_preflight: false }
    }

    /// Checks every request against that policy before it is routed, those for
    /// paths that match no route included: that is where scanners live.
    ///
    /// What never reaches routing is not counted: requests that cannot be
    /// parsed, and methods that Rocket does not know.
    pub fn before_routing(mut self, policy: &str) -> Self {
        self.before_routing = Some(policy.to_owned());
        self
    }

    /// Sets whether CORS preflights count at the front door, which browsers
    /// send by themselves. Defaults to false; a banned client is refused in any
    /// case.
    pub const fn count_preflight(mut self, counts_preflight: bool) -> Self {
        self.counts_preflight = counts_preflight;
        self
    }

    async fn set_up(
        &self,
        rocket: &Rocket<Build>,
    ) -> Result<(Limiter, Option<BeforeRouting>), String> {
        let limiter = self.limiter(rocket).await?;
        let before_routing = self.open_front_door(&limiter)?;
        Ok((limiter, before_routing))
    }

    async fn limiter(&self, rocket: &Rocket<Build>) -> Result<Limiter, String> {
        if let Some(limiter) = &self.limiter {
            return Ok(limiter.clone());
        }
        if let Some(error) = missing_file() {
            return Err(error);
        }
        let text = |error: ConfigError| error.to_string();
        let config = Config::from_figment_at(rocket.figment(), "limiter").map_err(text)?;
        Limiter::from_config(config).await.map_err(text)
    }

    fn open_front_door(&self, limiter: &Limiter) -> Result<Option<BeforeRouting>, String> {
        let Some(name) = &self.before_routing else {
            return Ok(None);
        };
        let policies = limiter.policy(name).map_err(|error| format!("the front door: {error}"))?;
        let by_endpoint = |policies: &PolicySet| {
            policies
                .policies()
                .iter()
                .any(|policy| policy.key().parts().contains(&KeyPart::Endpoint))
        };
        if by_endpoint(&policies) {
            return Err(format!(
                "the front door: the policy {name:?} counts by endpoint, but before routing there \
                 is none; use another key for it"
            ));
        }
        Ok(Some(BeforeRouting::new(policies, self.counts_preflight)))
    }
}

/// Rocket takes no notice of a `ROCKET_CONFIG` that names no file. It looks for
/// it in the working directory and the folders above.
fn missing_file() -> Option<String> {
    let file = PathBuf::from(env::var_os("ROCKET_CONFIG")?);
    let full = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
    let folder = env::current_dir().unwrap_or_default();
    let found = folder.ancestors().any(|above| above.join(&file).is_file());
    let named = || format!("there is no file {}, which ROCKET_CONFIG names", full.display());
    (!found).then(named)
}

#[rocket::async_trait]
impl Fairing for RateLimitFairing {
    fn info(&self) -> Info {
        Info { name: "Rate limiter", kind: Kind::Ignite | Kind::Response | Kind::Singleton }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let (limiter, before_routing) = match self.set_up(&rocket).await {
            Ok(both) => both,
            Err(error) => {
                tracing::error!("{error}");
                return Err(rocket);
            }
        };
        let rocket = match before_routing {
            Some(before_routing) => rocket.mount("/", before_routing.routes()),
            None => rocket,
        };
        let rocket = rocket.manage(LimiterState::new(limiter.clone()));
        // The application may have managed the limiter that it built.
        Ok(match rocket.state::<Limiter>() {
            Some(_) => rocket,
            None => rocket.manage(limiter),
        })
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, answer: &mut Response<'r>) {
        let visit = RequestState::of(request);
        let pass = visit.last_pass();
        match visit.refusal() {
            Some(refusal) => {
                if answer.status().code != refusal.status() {
                    // A handler behind an `Option<RateLimited>` answered: nothing
                    // of that goes out.
                    *answer = Response::new();
                    refuse(answer, &refusal);
                } else if !has_catcher(request, &refusal) {
                    refuse(answer, &refusal);
                }
                add_fields(answer, refusal.fields().clone());
            }
            None => {
                for pass in pass.iter().flat_map(Permit::chain) {
                    pass.record_response(answer.status().code).await;
                }
            }
        }
        if let Some(pass) = &pass {
            tell(answer, pass);
        }
    }
}

/// In the order in which the request has passed.
fn tell(answer: &mut Response<'_>, pass: &Permit) {
    if let Some(before) = pass.chain().nth(1) {
        tell(answer, before);
    }
    add_fields(answer, pass.fields());
}

/// What guards find in Rocket's state.
#[derive(Debug)]
pub(crate) struct LimiterState {
    limiter: Limiter,
    /// The policies of each guard's type, looked up once.
    guards: RwLock<Vec<(TypeId, PolicySet)>>,
}

impl LimiterState {
    fn new(limiter: Limiter) -> Self {
        Self { limiter, guards: RwLock::default() }
    }

    pub(crate) const fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    pub(crate) fn policies(
        &self,
        guard: TypeId,
        names: &[&str],
    ) -> Result<PolicySet, UnknownPolicy> {
        // They are few, and nearly always found: nothing is faster than a look at each.
        let known = self.guards.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, policies)) = known.iter().find(|(of, _)| *of == guard) {
            return Ok(policies.clone());
        }
        drop(known);
        let policies = self.limiter.policies(names.iter().copied())?;
        let mut guards = self.guards.write().unwrap_or_else(PoisonError::into_inner);
        guards.push((guard, policies.clone()));
        Ok(policies)
    }
}

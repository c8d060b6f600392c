//! The limiter that Rocket's configuration describes.

use std::{env, path::PathBuf, sync::Arc};

use limiter_core::{Config, ConfigError, Limiter};
use rocket::{Build, Rocket, figment::Figment};

/// The function that builds Rocket's configuration anew.
pub(crate) type BuildAgain = dyn Fn() -> Figment + Send + Sync;

/// The key of the limiter's table in Rocket's configuration.
const KEY: &str = "limiter";

pub(crate) async fn limiter(
    rocket: &Rocket<Build>,
    again: Option<&Arc<BuildAgain>>,
) -> Result<Limiter, String> {
    if let Some(error) = missing_file() {
        return Err(error);
    }
    let text = |error: ConfigError| error.to_string();
    let config = Config::from_figment_at(rocket.figment(), KEY).map_err(text)?;
    let config = with_read_again(config, rocket.figment(), again)?;
    Limiter::from_config(config).await.map_err(text)
}

/// Sets how the configuration is read again.
///
/// Figment reads its files when it is built, so that what Rocket was launched with cannot
/// be read again. What is built in its place has to be the same at the start: else a
/// reload would silently take another configuration.
fn with_read_again(
    config: Config,
    launched: &Figment,
    again: Option<&Arc<BuildAgain>>,
) -> Result<Config, String> {
    let profile = launched.profile().clone();
    let build: Arc<BuildAgain> = match again {
        Some(again) => Arc::clone(again),
        None => Arc::new(rocket::Config::figment),
    };
    let read = move || Config::from_figment_at(&build().select(profile.clone()), KEY);
    if read().is_ok_and(|again| again.is_same(&config)) {
        return Ok(config.with_read_again(read));
    }
    if config.is_watched() || again.is_some() {
        let built = if again.is_some() { "read_again" } else { "rocket::Config::figment()" };
        return Err(format!(
            "reload: the configuration that {built} builds is not the one that Rocket was \
             launched with; write RateLimitFairing::from_config().read_again(|| figment()), with \
             the function that has built it"
        ));
    }
    Ok(config)
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

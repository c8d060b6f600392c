//! The limiter that Rocket's configuration describes.

use std::{env, path::PathBuf};

use limiter_core::{Config, ConfigError, Limiter};
use rocket::{Build, Rocket};

pub(crate) async fn limiter(rocket: &Rocket<Build>) -> Result<Limiter, String> {
    if let Some(error) = missing_file() {
        return Err(error);
    }
    let text = |error: ConfigError| error.to_string();
    let config = Config::from_figment_at(rocket.figment(), "limiter").map_err(text)?;
    Limiter::from_config(config).await.map_err(text)
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

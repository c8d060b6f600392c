//! Several servers on one Redis: `docker compose up --scale web=4` with the
//! `compose.yaml` beside this file.

use limiter_actix::{Config, Limiter, limiter_core::ConfigError};

/// The configuration, the same on all servers. The environment sets the store:
/// `LIMITER_STORE=redis://redis/0`.
pub const CONFIG: &str = include_str!("limiter.toml");

/// The limiter of each server, from `limiter.toml` and the environment.
///
/// # Errors
/// If the file is wrong, or Redis cannot be reached.
pub async fn limiter() -> Result<Limiter, ConfigError> {
    Limiter::from_config(Config::load()?.require(["api"])?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_and_the_compose_file_fit_together() {
        Config::from_toml(CONFIG).unwrap().require(["api"]).unwrap();
        let compose = include_str!("compose.yaml");
        let store = compose.lines().find_map(|line| line.trim().strip_prefix("LIMITER_STORE: "));
        let config = format!("store = \"{}\"\n{CONFIG}", store.expect("it names the store"));
        Config::from_toml(&config).unwrap();
    }
}

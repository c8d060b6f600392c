//! A server that serves its limiter's numbers at `/metrics`, and whose configuration,
//! Rocket.toml or the file that `ROCKET_CONFIG` names, changes without a restart.
//!
//! In production, serve the numbers at an address that only operators reach.

use std::{error::Error, process::ExitCode};

use limiter_rocket::{Limiter, RateLimitFairing, RateLimited, policy};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rocket::{State, get, routes};

policy!(Api = ["api", "tried"]);

#[get("/")]
fn index(_limit: RateLimited<Api>) -> &'static str {
    "hello\n"
}

#[get("/metrics")]
fn metrics(limiter: &State<Limiter>, recorder: &State<PrometheusHandle>) -> String {
    limiter.publish_metrics();
    recorder.render()
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let recorder = PrometheusBuilder::new().install_recorder()?;
    let rocket = rocket::build().attach(RateLimitFairing::from_config()).manage(recorder);
    rocket.mount("/", routes![index, metrics]).launch().await?;
    Ok(())
}

#[rocket::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! Ten requests a minute for each client address; who is refused eleven times
//! within a minute, that is who sends more than twenty, is banned for two. The
//! numbers are in Rocket.toml beside this.

use std::process::ExitCode;

use limiter_rocket::{RateLimitFairing, RateLimited};
use rocket::{
    Build, Config, Rocket,
    fairing::AdHoc,
    figment::{
        Figment, Profile,
        providers::{Env, Format, Toml},
    },
    get, routes,
    serde::json::{Value, json},
};

#[get("/rocket-endpoint")]
fn endpoint(_limit: RateLimited) -> Value {
    json!({ "message": "Hello from Rocket!" })
}

fn rocket() -> Rocket<Build> {
    rocket::custom(figment())
        .attach(RateLimitFairing::from_config())
        .attach(AdHoc::on_liftoff("Hint", |rocket| {
            Box::pin(async move {
                let Config { address, port, .. } = rocket.config();
                println!("Try: for i in $(seq 25); do curl -i http://{address}:{port}/rocket-endpoint; done");
            })
        }))
        .mount("/", routes![endpoint])
}

/// Rocket's own figment, but with this example's file from wherever it is started.
fn figment() -> Figment {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Rocket.toml");
    Figment::from(Config::default())
        .merge(Toml::file(Env::var_or("ROCKET_CONFIG", file)).nested())
        .merge(Env::prefixed("ROCKET_").ignore(&["PROFILE"]).global())
        .select(Profile::from_env_or("ROCKET_PROFILE", Config::DEFAULT_PROFILE))
}

#[rocket::main]
async fn main() -> ExitCode {
    match rocket().launch().await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

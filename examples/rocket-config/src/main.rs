//! Three routes, each with a policy of Rocket.toml, or of the file that
//! `ROCKET_CONFIG` names.

use std::process::ExitCode;

use limiter_rocket::{RateLimitFairing, RateLimited, policy};
use rocket::{Build, Rocket, get, http::Status, post, routes};

policy!(Api = "api");
policy!(Login = "login");

#[get("/")]
fn index(_limit: RateLimited) -> &'static str {
    "index\n"
}

#[get("/api")]
fn api(_limit: RateLimited<Api>) -> &'static str {
    "api\n"
}

#[post("/login", data = "<body>")]
fn login(_limit: RateLimited<Login>, body: &str) -> (Status, &'static str) {
    if body == "secret" { (Status::Ok, "welcome\n") } else { (Status::Unauthorized, "wrong\n") }
}

fn rocket() -> Rocket<Build> {
    rocket::build().attach(RateLimitFairing::from_config()).mount("/", routes![index, api, login])
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

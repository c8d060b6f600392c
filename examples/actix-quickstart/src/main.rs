//! Ten requests a minute for each client address; who is refused eleven times
//! within a minute, that is who sends more than twenty, is banned for two.

use std::{error::Error, process::ExitCode, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, route};
use limiter_actix::{BanRule, Limiter, Policy, Quota, RateLimit, limiter_core::Algorithm};

#[route("/actix-endpoint", method = "GET", method = "HEAD")]
async fn endpoint() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "message": "Hello from Actix!" }))
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let minute = Duration::from_secs(60);
    let quota = Quota::per_minute(10)?.with_algorithm(Algorithm::FixedWindow)?;
    let policy = Policy::new("api", quota)?
        .with_ban(BanRule::after_strikes(11).within(minute).for_duration(2 * minute)?);
    let limiter = Limiter::builder().policy(policy).build().await?;

    // Made once and cloned into each worker, so that all of them count together.
    let api = RateLimit::new(limiter.policy("api")?);
    let server = HttpServer::new(move || App::new().wrap(api.clone()).service(endpoint))
        .bind(("127.0.0.1", port()?))?;
    for address in server.addrs() {
        println!("Try: for i in $(seq 25); do curl -i http://{address}/actix-endpoint; done");
    }
    Ok(server.run().await?)
}

fn port() -> Result<u16, String> {
    let Ok(port) = std::env::var("PORT") else {
        return Ok(8080);
    };
    port.parse().map_err(|_| format!("PORT is {port:?}; write a number from 0 to 65535"))
}

#[actix_web::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! Three routes, each with a policy of a TOML file: `LIMITER_CONFIG` names it,
//! else it is `limiter.toml` in the working directory.

use std::{error::Error, process::ExitCode};

use actix_web::{App, HttpResponse, HttpServer, post, route, web};
use limiter_actix::{Config, Limiter, RateLimit};

#[route("/", method = "GET", method = "HEAD", wrap = "RateLimit::named(\"default\")")]
async fn index() -> &'static str {
    "index\n"
}

#[route("/api", method = "GET", method = "HEAD", wrap = "RateLimit::named(\"api\")")]
async fn api() -> &'static str {
    "api\n"
}

#[post("/login", wrap = "RateLimit::named(\"login\")")]
async fn login(body: web::Bytes) -> HttpResponse {
    if body == "secret" {
        HttpResponse::Ok().body("welcome\n")
    } else {
        HttpResponse::Unauthorized().body("wrong\n")
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    // A policy that is looked up late would be missed by its first request.
    let config = Config::load()?.require(["default", "api", "login"])?;
    let limiter = Limiter::from_config(config).await?;
    let app =
        move || App::new().app_data(limiter.clone()).service(index).service(api).service(login);
    let server = HttpServer::new(app).bind(("127.0.0.1", port()?))?;
    for address in server.addrs() {
        println!("Try: curl -i http://{address}/api");
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

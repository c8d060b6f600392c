//! A server that serves its limiter's numbers at `/metrics` and the keys that it refuses
//! at `/refused`. `LIMITER_CONFIG` names its configuration, else it is `limiter.toml` in
//! the working directory.
//!
//! In production, serve both at an address that only operators reach.

use std::{error::Error, process::ExitCode};

use actix_web::{App, HttpResponse, HttpServer, get, web};
use limiter_actix::{Config, Limiter, RateLimit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

#[get("/", wrap = "RateLimit::named_all([\"api\", \"tried\"])")]
async fn index() -> &'static str {
    "hello\n"
}

#[get("/metrics")]
async fn metrics(limiter: web::Data<Limiter>, recorder: web::Data<PrometheusHandle>) -> String {
    limiter.publish_metrics();
    recorder.render()
}

/// The ten keys that each policy has refused most in the last ten minutes.
#[get("/refused")]
async fn refused(limiter: web::Data<Limiter>) -> HttpResponse {
    let names: Vec<String> = limiter.policy_names();
    let mut text = String::new();
    for policy in names {
        for key in limiter.top_refused(&policy, 10).unwrap_or_default() {
            text +=
                &format!("{policy} {} {} (at most {} too many)\n", key.key, key.count, key.error);
        }
    }
    HttpResponse::Ok().body(text)
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let recorder = PrometheusBuilder::new().install_recorder()?;
    let config = Config::load()?.require(["api", "tried"])?;
    let limiter = web::Data::new(Limiter::from_config(config).await?);
    let app = move || {
        App::new()
            .app_data(limiter.clone())
            .app_data(web::Data::new(recorder.clone()))
            .service(index)
            .service(metrics)
            .service(refused)
    };
    let server = HttpServer::new(app).bind(("0.0.0.0", port()?))?;
    for address in server.addrs() {
        println!("Try: curl -i http://127.0.0.1:{}/metrics", address.port());
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

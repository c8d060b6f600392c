//! A server whose one route answers `hello`, limited by `actix-governor`, in a process of
//! its own, since that is licensed under the GPL. Its argument is `admitting` or
//! `refusing`.
//!
//! It serves until standard input ends. The first line of output is where.

use std::{
    env,
    io::{self, Read},
    net::Ipv4Addr,
    process, thread,
    time::Duration,
};

use actix_governor::{Governor, GovernorConfigBuilder};
use actix_web::{App, HttpServer, web};

#[actix_web::main]
async fn main() -> io::Result<()> {
    thread::spawn(|| {
        // An error is an end as well.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    let mut builder = GovernorConfigBuilder::default();
    match env::args().nth(1).as_deref() {
        Some("admitting") => builder.period(Duration::from_nanos(1)).burst_size(1_000_000_000),
        Some("refusing") => builder.period(Duration::from_secs(3_600)).burst_size(1),
        other => panic!("there is no server {other:?}"),
    };
    let config = builder.use_headers().finish().expect("neither is zero");
    let server = HttpServer::new(move || {
        App::new().wrap(Governor::new(&config)).route("/", web::get().to(async || "hello"))
    });
    let server = server.workers(1).bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("http://{}/", server.addrs()[0]);
    server.run().await
}

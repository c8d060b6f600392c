//! The `-config` example of a framework as a child process, set up for a test.
//! Clients are behind a proxy on loopback, which names them in
//! `X-Forwarded-For`.

use std::{
    env, fs,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use limiter_tests::Server;

use super::Form;
use crate::{databases::unique, multi_process::program};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Framework {
    Actix,
    Rocket,
}

/// The routes of the three policies that [`start`] is given settings of: what
/// the policy does without the store, the method, the path.
pub(crate) const ROUTES: [(&str, &str, &str); 3] =
    [("local", "GET", "/"), ("allow", "GET", "/api"), ("deny", "POST", "/login")];

/// Starts it on a store, where names begin with `prefix`. Each policy has those
/// settings, and does without the store in another way.
pub(crate) fn start(framework: Framework, store: &str, prefix: &str, settings: &str) -> Server {
    start_with_log(framework, store, prefix, settings, "critical")
}

/// The same, with that level of Rocket's own log, which is where limiter's lines go.
pub(crate) fn start_with_log(
    framework: Framework,
    store: &str,
    prefix: &str,
    settings: &str,
    level: &str,
) -> Server {
    let (root, table) = match framework {
        Framework::Actix => ("", ""),
        Framework::Rocket => ("[default.limiter]\n", "default.limiter."),
    };
    let tables: String = ["default", "api", "login"]
        .into_iter()
        .zip(ROUTES)
        .map(|(name, (way, ..))| {
            format!("[{table}policies.{name}]\non_store_error = \"{way}\"\n{settings}\n")
        })
        .collect();
    let text = format!(
        "{root}store = \"{store}\"\nprefix = \"{prefix}\"\nkey_secret = \"for tests\"\n\
         timeout = \"{}ms\"\ntrusted_proxies = [\"127.0.0.0/8\"]\nclient_ip_header = \"x-forwarded-for\"\n{tables}",
        Form::from_environment().timeout().as_millis()
    );
    let file = env::temp_dir().join(format!("{}.toml", unique("limiter-storm")));
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let server = match framework {
        Framework::Actix => {
            Server::start(&program("actix-config"), "PORT", &[("LIMITER_CONFIG", path)])
        }
        Framework::Rocket => Server::start(
            &program("rocket-config"),
            "ROCKET_PORT",
            &[("ROCKET_CONFIG", path), ("ROCKET_LOG_LEVEL", level)],
        ),
    };
    let _ = fs::remove_file(file);
    server
}

/// An address that no other client of this run has.
pub(crate) fn address() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let first = u32::from(Ipv4Addr::new(10, 0, 0, 1));
    Ipv4Addr::from(first + COUNT.fetch_add(1, Ordering::Relaxed)).to_string()
}

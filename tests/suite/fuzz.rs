//! Fuzzing of everything that is read: pieces of the grammar and noise, put
//! together at random. On stable, bounded, with each run of the tests;
//! `PROPTEST_CASES=1000000 cargo test -p limiter-tests --test suite fuzz` looks
//! further.

mod keys;

use std::net::IpAddr;

use limiter_core::{ClientIp, Config, Key, Networks, Quota, Quotas, RemoteStore};
use proptest::{collection::vec, prelude::*, sample::select};

/// Pieces of a grammar, any text, and bytes that are no text.
fn pieces(grammar: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => select(grammar).prop_map(|piece| piece.as_bytes().to_vec()),
        2 => "\\PC{0,6}".prop_map(String::into_bytes),
        2 => "[0-9]{1,20}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn text(grammar: &'static [&'static str]) -> impl Strategy<Value = String> {
    pieces(grammar).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

const QUOTAS: &[&str] = &[
    "10",
    "/",
    "second",
    "s",
    "minute",
    "5m",
    "hour",
    "day",
    "ms",
    "us",
    " ",
    ";",
    "burst",
    " burst ",
    "0",
    "-1",
    "1.5",
    "999999999999999",
    "18446744073709551616",
    "1h 30m",
    "year",
    "3660d",
    "\t",
    ",",
];

const CONFIG: &[&str] = &[
    "\n",
    "[policies.api]",
    "[policies]",
    "[policies.api.ban]",
    "quota",
    "key",
    "algorithm",
    "mode",
    "headers",
    "on_store_error",
    "ban",
    "threshold",
    "window",
    "duration",
    "factor",
    "store",
    "trusted_proxies",
    "client_ip_header",
    "never_ban",
    "allow",
    "block",
    "ipv6_prefix",
    "max_keys",
    "timeout",
    "fallback_address",
    "local_share",
    " = ",
    "\"10/minute\"",
    "\"1/s burst 9\"",
    "\"ip\"",
    "[\"ip\", \"endpoint\"]",
    "\"header:x-api-key\"",
    "\"gcra\"",
    "\"fixed_window\"",
    "\"local\"",
    "\"memory\"",
    "store = \"redis://u:hunter2@h/0\"",
    "store = \"redis://u:hunter2@h/0",
    "[\"10.0.0.0/8\"]",
    "\"x-forwarded-for\"",
    "\"10m\"",
    "{ threshold = 2, window = \"1m\", duration = \"1h\" }",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "#",
    ".",
    "1",
    "2.5",
    "-1",
    "true",
    "nan",
    "1e400",
    "0x7f",
    "1979-05-27",
];

const FORWARDING: &[&str] = &[
    "for=",
    "For=",
    "by=",
    "proto=https",
    ";",
    ",",
    ", ",
    "\"",
    "\\",
    "\\\"",
    "[",
    "]",
    ":",
    ":80",
    "6.6.6.6",
    "10.0.0.1",
    "10.9.9.9",
    "2001:db8::6",
    "[2001:db8::6]",
    "::ffff:10.0.0.1",
    "unknown",
    "_hidden",
    " ",
    "\t",
    "%eth0",
    "0.0.0.0",
    "::",
    "=",
    "for=6.6.6.6",
    "for=\"[2001:db8::6]:443\"",
    "for=10.0.0.1",
    "1.2.3",
    "01.2.3.4",
    "999.1.1.1",
];

const URLS: &[&str] = &[
    "redis",
    "rediss",
    "redis-cluster",
    "redis-sentinel",
    "postgres",
    "mysql",
    "sqlite",
    "memory",
    "://",
    ":",
    "@",
    "/",
    "//",
    "user",
    "hunter2",
    "localhost",
    "127.0.0.1",
    ":6379",
    ",",
    "/0",
    "/service",
    "?",
    "sslmode=require",
    "=",
    "&",
    "%",
    "%zz",
    "#",
    "[::1]",
];

const KEYS: &[&str] = &[
    "ip=",
    "user=",
    "custom:",
    "endpoint=",
    "global",
    "GET:",
    "/x",
    "&",
    "=",
    "#",
    "a",
    "alice",
    "192.0.2.1",
    "2001:db8::/64",
    "/129",
    "/",
    "#00ff00ff00ff00ff00ff00ff00ff00ff",
    "{id}",
    "x:y",
    ".",
];

proptest! {
    #![proptest_config(config())]

    #[test]
    fn quotas_are_read_or_refused(text in text(QUOTAS)) {
        if let Ok(quotas) = text.parse::<Quotas>() {
            let written: Vec<String> = quotas.iter().map(Quota::to_string).collect();
            prop_assert_eq!(written.join("; ").parse::<Quotas>(), Ok(quotas));
        }
    }

    #[test]
    fn configuration_is_read_or_refused(text in text(CONFIG)) {
        match Config::from_toml(&text) {
            Ok(config) => prop_assert!(config.policy_names().count() < 100),
            Err(error) => prop_assert!(!error.to_string().contains("hunter2"), "{}", error),
        }
    }

    /// Whatever a client writes, the proxy writes behind it.
    #[test]
    fn a_client_behind_a_proxy_is_itself_or_an_error(
        lines in vec(pieces(FORWARDING), 0..4),
        same_line in any::<bool>(),
        v6 in any::<bool>(),
        hops in any::<bool>(),
    ) {
        let client: IpAddr = if v6 { "2001:db8:7::9" } else { "203.0.113.9" }.parse().unwrap();
        let appended = [
            ("x-forwarded-for", client.to_string()),
            ("forwarded", if v6 { format!("for=\"[{client}]:1234\"") } else { format!("for={client}") }),
        ];
        for (header, appended) in appended {
            let trusting = ClientIp::default();
            let client_ip = match hops {
                true => trusting.with_hops(1, header),
                false => trusting.with_proxies(["10.0.0.0/8"], header),
            };
            let mut sent = lines.clone();
            match sent.last_mut() {
                Some(last) if same_line => last.extend(format!(", {appended}").into_bytes()),
                _ => sent.push(appended.into_bytes()),
            }
            let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
            let peer = "10.0.0.1".parse().ok();
            if let Ok(found) = client_ip.unwrap().resolve(peer, |_| sent) {
                prop_assert_eq!(found, client, "{}", header);
            }
        }
    }

    #[test]
    fn networks_are_read_or_refused(text in text(FORWARDING)) {
        let _ = Networks::parse([text.as_str()]);
    }

    #[test]
    fn urls_are_read_or_refused_and_never_told(text in text(URLS)) {
        let told = format!("{:?}", RemoteStore::builder(&text));
        prop_assert!(!told.contains("hunter2"), "{}", told);
        let quoted = text.replace(['\\', '"', '\n', '\t'], "");
        if let Err(error) = Config::from_toml(&format!("store = {quoted:?}")) {
            let scheme = quoted.split("://").next().unwrap_or_default();
            prop_assert!(scheme.contains("hunter2") || !error.to_string().contains("hunter2"), "{}", error);
        }
    }

    #[test]
    fn names_of_keys_are_read_or_refused(text in text(KEYS)) {
        if let Ok(key) = text.parse::<Key>() {
            let name = key.name().expect("what was read has a name");
            prop_assert_eq!(name.parse::<Key>(), Ok(key));
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Returns the number of cases: `PROPTEST_CASES`, or two thousand.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { default } else { ProptestConfig { cases: 2_000, ..default } }
}

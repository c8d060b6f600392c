//! Every metric that the dashboard and the alert rules name is one that the server
//! exposes, and what a client does shows there.

use std::{collections::BTreeSet, fs, path::Path};

use limiter_tests::Server;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

fn server(store: &str) -> Server {
    let file = format!("{FOLDER}/limiter.toml");
    let environment = [("LIMITER_CONFIG", file.as_str()), ("LIMITER_STORE", store)];
    Server::start(env!("CARGO_BIN_EXE_observed"), "PORT", &environment)
}

fn get(server: &Server, path: &str) -> String {
    server.send("GET", path, &[], "").into_body()
}

/// The words of a text that begin like a metric of the limiter.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("limiter_")).map(str::to_owned).collect()
}

/// A database has servers, memory has entries: both together expose everything.
#[test]
fn dashboard_and_alerts_name_what_is_exposed() {
    let file = std::env::temp_dir().join(format!("limiter-observed-{}", std::process::id()));
    let mut exposed = BTreeSet::new();
    for store in ["memory".to_owned(), format!("sqlite://{}", file.display())] {
        let server = server(&store);
        assert_eq!(get(&server, "/"), "hello\n");
        exposed.extend(metrics_in(&get(&server, "/metrics")));
    }
    let _ = fs::remove_file(&file);
    for name in ["grafana/dashboard.json", "prometheus/alerts.yml"] {
        let text = fs::read_to_string(Path::new(FOLDER).join(name)).unwrap();
        let named = metrics_in(&text);
        assert!(named.len() > 4, "{name} names {named:?}");
        let missing: Vec<_> = named.difference(&exposed).collect();
        assert!(missing.is_empty(), "{name} names what is not exposed: {missing:?} of {exposed:?}");
    }
    let dashboard = fs::read_to_string(Path::new(FOLDER).join("grafana/dashboard.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("the dashboard is JSON");
}

#[test]
fn would_be_refusals_show_in_metrics_and_hostile_headers_do_not() {
    let server = server("memory");
    for n in 0..80 {
        let hostile = format!("evil{n}");
        let response =
            server.send("GET", "/", &[("x-api-key", &hostile), ("x-forwarded-for", &hostile)], "");
        assert_eq!(response.status(), 200);
    }
    let text = get(&server, "/metrics");
    let value = |series: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    // The tightened limit refills one unit a second.
    let refused = value("limiter_requests{policy=\"tried\",outcome=\"shadow_limited\"}");
    assert!((1..=20).contains(&refused), "{refused}");
    assert_eq!(value("limiter_requests{policy=\"api\",outcome=\"limited\"}"), 0);
    assert!(!text.contains("evil") && !text.contains("127.0.0.1"), "{text}");
    let refused_keys = get(&server, "/refused");
    assert!(refused_keys.starts_with("tried ip=127.0.0.1 "), "{refused_keys}");
}

mod docs;
mod mistakes;
mod remote_store;

use super::*;
use crate::{Algorithm, BanAnswer, HeaderStyle, Mode, OnStoreError, Quota};

fn error(toml: &str) -> String {
    Config::from_toml(toml).unwrap_err().to_string()
}

fn policy(toml: &str) -> Policy {
    let toml = format!("[policies.api]\nquota = \"10/minute\"\n{toml}");
    Config::from_toml(&toml).unwrap().rules.policies.remove(0)
}

/// As a part of the application's own settings, or from its administrator.
#[test]
fn what_is_deserialised_is_what_a_file_would_be() {
    let settings = |quota: serde_json::Value| {
        serde_json::from_value::<Config>(
            serde_json::json!({ "policies": { "api": { "quota": quota } } }),
        )
    };
    let file = Config::from_toml("policies.api.quota = \"5/minute\"").unwrap();
    assert!(settings("5/minute".into()).unwrap().is_same(&file));
    assert!(!settings("6/minute".into()).unwrap().is_same(&file));
    let error = settings(5.into()).unwrap_err().to_string();
    assert!(error.starts_with("policies.api.quota: "), "{error}");
    assert!(error.ends_with("(in the application's settings)"), "{error}");
}

#[test]
fn every_key_is_read() {
    let config = Config::from_toml(
        r#"
        store = "memory"
        max_keys = 1000
        max_bans = 10
        trusted_proxies = ["10.0.0.0/8", "2001:db8::1"]
        client_ip_header = "Forwarded"
        never_ban = ["192.0.2.1"]
        ipv6_prefix = 56
        nat64_prefixes = "2001:db8:64::/96"
        fallback_address = "127.0.0.1"

        [policies.login]
        quota = "5/minute"
        algorithm = "sliding_window"
        key = ["header:X-Api-Key", "endpoint"]
        per_address = 3
        mode = "shadow"
        headers = ["x-ratelimit", "draft-6"]
        on_store_error = "deny"

        [policies.login.ban]
        threshold = 10
        window = "10m"
        duration = "10m"
        factor = 1.5
        max_duration = "1d"
        forgive_after = "7d"
        refusals = false
        statuses = [401, 403]
        status = 429
        group = "auth"
        "#,
    )
    .unwrap();
    let policy = &config.rules.policies[0];
    assert_eq!(policy.name(), "login");
    assert_eq!(policy.quotas()[0].algorithm(), Algorithm::SlidingWindow);
    assert_eq!(policy.key().to_string(), "header:x-api-key + endpoint");
    assert_eq!(policy.companion().unwrap().quotas()[0].limit(), 15);
    assert_eq!(policy.mode(), Mode::Shadow);
    assert!(policy.headers().contains(HeaderStyle::XRateLimit));
    assert!(policy.headers().contains(HeaderStyle::Draft6));
    assert_eq!(policy.on_store_error(), OnStoreError::Deny);
    let ban = policy.ban().unwrap();
    assert_eq!((ban.threshold(), ban.answer()), (10, BanAnswer::TooManyRequests));
    assert!(ban.strikes_on(403) && !ban.strikes_on(404) && !ban.strikes_on_refusal());
    assert_eq!(ban.group(), Some("auth"));
}

#[test]
fn defaults_are_those_of_the_docs() {
    let policy = policy("");
    assert_eq!(policy.quotas()[0].algorithm(), Algorithm::Gcra);
    assert_eq!(policy.key().to_string(), "ip");
    assert_eq!(policy.on_store_error(), OnStoreError::Local);
    assert!(policy.ban().is_none() && policy.companion().is_none());
}

#[test]
fn windows_begin_at_a_set_time_beside_others() {
    let quota = "10/second; 1000/day from midnight UTC";
    let toml = format!("[policies.api]\nquota = \"{quota}\"\nalgorithm = \"sliding_window\"");
    let policy = Config::from_toml(&toml).unwrap().rules.policies.remove(0);
    let algorithms: Vec<_> = policy.quotas().iter().map(Quota::algorithm).collect();
    assert_eq!(algorithms, [Algorithm::SlidingWindow, Algorithm::FixedWindow]);
    let error = error(&toml.replace("10/second; ", ""));
    assert!(error.starts_with("policies.api.algorithm: is \"sliding_window\""), "{error}");
    assert!(error.contains("leave it out"), "{error}");
}

#[test]
fn a_strict_window_has_segments() {
    let quota = |text: &str| policy(text).quotas()[0];
    let strict = "algorithm = \"strict_window\"";
    assert_eq!(quota(strict).segments(), 12);
    assert_eq!(quota(&format!("{strict}\nsegments = 60")).segments(), 60);
    assert_eq!(quota("").segments(), 0);
}

#[test]
fn a_fault_names_key_value_and_what_would_be_right() {
    let ban = "threshold = 3, window = \"1m\", duration = \"1m\"";
    let api = "[policies.api]\nquota = \"1/s\"";
    let table = [
        ("stroe = \"memory\"".to_owned(), vec!["stroe", "store", "policies"]),
        ("store = \"mongodb://:pw@h\"".to_owned(), vec!["\"mongodb\"", "\"memory\"", "store: "]),
        ("max_keys = 0".to_owned(), vec!["max_keys: is 0", "write 1 to 100000000"]),
        ("[policies.api]".to_owned(), vec!["quota", "policies.api"]),
        ("[policies.api]\nquota = 10".to_owned(), vec!["10", "policies.api.quota"]),
        (
            "[policies.api]\nquota = \"10/fortnight\"".to_owned(),
            vec!["10/fortnight", "policies.api.quota: ", "unit \"fortnight\"", "10/minute"],
        ),
        ("[policies.api]\nquota = \"0/s\"".to_owned(), vec!["0/s", "1 to 999999999999999"]),
        ("[policies.api]\nquota = \"1/0s\"".to_owned(), vec!["1/0s", "longer than zero"]),
        ("[policies.API]\nquota = \"1/s\"".to_owned(), vec!["\"API\"", "lower-case"]),
        (format!("{api}\nqota = 1"), vec!["qota", "policies.api", "quota"]),
        (format!("{api}\nalgorithm = \"leaky\""), vec!["leaky", "policies.api.algorithm", "gcra"]),
        (
            format!("{api}\nsegments = 24"),
            vec!["policies.api.segments", "only strict_window", "leave them out"],
        ),
        (
            format!("{api}\nalgorithm = \"strict_window\"\nsegments = 61"),
            vec!["policies.api.segments", "are 61", "1 to 60"],
        ),
        (
            format!("{api}\nalgorithm = \"strict_window\"\nsegments = \"few\""),
            vec!["policies.api.segments", "few", "whole number"],
        ),
        (format!("{api}\nkey = \"adress\""), vec!["adress", "policies.api.key", "\"ip\""]),
        (format!("{api}\nkey = 7"), vec!["policies.api.key", "\"7\" is no part of a key"]),
        (format!("{api}\nmode = \"on\""), vec!["on", "enforce", "shadow", "off"]),
        (format!("{api}\nheaders = \"draft-99\""), vec!["draft-99", "draft-11"]),
        (
            format!("{api}\nheaders = [\"draft-11\", \"draft-6\"]"),
            vec!["policies.api.headers", "two drafts", "write one"],
        ),
        (format!("{api}\nheaders = []"), vec!["policies.api.headers", "is empty", "\"none\""]),
        (format!("{api}\nper_address = 3"), vec!["policies.api.per_address", "header"]),
        (
            format!("{api} \nalgorithm = \"fixed_window\"").replace("1/s", "1/s burst 2"),
            vec!["policies.api.quota", "only gcra"],
        ),
        (
            format!("{api}\nban = {{ {ban}, treshold = 2 }}"),
            vec!["treshold", "policies.api.ban", "threshold"],
        ),
        (
            format!("{api}\nban = {{ {} }}", ban.replace('3', "0")),
            vec!["threshold", "is 0", "policies.api.ban"],
        ),
        (
            format!("{api}\nban = {{ {} }}", ban.replacen("1m", "0s", 1)),
            vec!["window: is 0s", "longer than zero", "policies.api.ban"],
        ),
        (
            format!("{api}\nban = {{ {} }}", ban.replacen("1m", "soon", 1)),
            vec!["soon", "policies.api.ban.window", "10m"],
        ),
        (
            format!("{api}\nban = {{ {ban}, factor = 0.5 }}"),
            vec!["factor: is 500 thousandths", "below 1", "policies.api.ban"],
        ),
        (format!("{api}\nban = {{ {ban}, statuses = [42] }}"), vec!["42", "100 to 599"]),
        (
            format!("{api}\nban = {{ {ban}, status = 404 }}"),
            vec!["404", "\"403\" or \"429\"", "policies.api.ban.status"],
        ),
        (
            "trusted_proxies = [\"10.0.0.1/8\"]\nclient_ip_header = \"forwarded\"".to_owned(),
            vec!["10.0.0.1/8", "10.0.0.0/8"],
        ),
        (
            "trusted_proxies = [\"10.0.0.0/8\"]".to_owned(),
            vec!["client_ip_header", "x-forwarded-for"],
        ),
        ("client_ip_header = \"forwarded\"".to_owned(), vec!["trusted_proxies", "list"]),
        (
            "trusted_proxies = 0\nclient_ip_header = \"forwarded\"".to_owned(),
            vec!["trusted_proxies: is 0", "1 to 32"],
        ),
        ("trusted_proxies = 1".to_owned(), vec!["client_ip_header", "write"]),
        (
            "trusted_proxies = [\"::/0\"]\nclient_ip_header = \"forwarded\"".to_owned(),
            vec!["trusted_proxies", "every address", "dangerously-trust-everyone"],
        ),
        (
            "trusted_proxies = true\nclient_ip_header = \"forwarded\"".to_owned(),
            vec!["trusted_proxies", "list of networks", "number of proxies"],
        ),
        ("never_ban = [\"home\"]".to_owned(), vec!["never_ban", "home", "10.0.0.0/8"]),
        ("block = [\"home\"]".to_owned(), vec!["block", "home", "10.0.0.0/8"]),
        (
            "allow = [\"10.0.0.0/8\"]\nblock = [\"10.0.0.0/8\"]".to_owned(),
            vec!["allow: 10.0.0.0/8 is in block as well", "leave one out"],
        ),
        ("store = \"memory\"\nlocal_share = 0".to_owned(), vec!["local_share"]),
        (
            "nat64_prefixes = [\"10.0.0.0/8\"]".to_owned(),
            vec!["nat64_prefixes", "10.0.0.0/8", "/96"],
        ),
        ("ipv6_prefix = 8".to_owned(), vec!["ipv6_prefix", "32 to 128"]),
        (
            "fallback_address = \"localhost\"".to_owned(),
            vec!["fallback_address", "localhost", "127.0.0.1"],
        ),
        (format!("{api}\n{api}"), vec!["api", "duplicate"]),
    ];
    for (toml, parts) in table {
        let error = error(&toml);
        assert!(error.contains("TOML source string"), "{error} names no source");
        for part in parts {
            assert!(error.contains(part), "{toml}\n=> {error}\nlacks {part}");
        }
        assert!(!error.contains(":pw@"), "{error}");
    }
}

#[test]
fn groups_must_agree() {
    let two = |first: &str, second: &str| {
        let rule = "threshold = 3, window = \"1m\", duration = \"1m\"";
        format!(
            "[policies.one]\nquota = \"1/s\"\nban = {{ {rule}, group = \"g\" }}\n{first}\n\
             [policies.two]\nquota = \"9/s\"\nban = {{ {rule}{second}, group = \"g\" }}\n"
        )
    };
    Config::from_toml(&two("", ", statuses = [401]")).unwrap();
    let kinds = error(&two("key = \"user\"", ""));
    assert!(
        kinds.contains("one kind of key") && kinds.contains("policies.one.ban.group"),
        "{kinds}"
    );
    let numbers = error(&two("", ", factor = 2"));
    assert!(numbers.contains("differ"), "{numbers}");
    let mode = error(&two("mode = \"shadow\"", ""));
    assert!(mode.contains("as a whole"), "{mode}");
    let stray = two("", "").replace("\"g\"", "\"two\"").replacen(", group = \"two\"", "", 1);
    let stray = error(
        &stray
            .replacen("policies.one", "policies.three", 1)
            .replace("policies.two", "policies.one")
            .replace("policies.three", "policies.two"),
    );
    assert!(stray.contains("outside the group"), "{stray}");
}

#[test]
fn what_is_no_table_is_refused() {
    let figment = Figment::from(Toml::string("limiter = \"{policies={\""));
    let error = Config::from_figment_at(&figment, "limiter").unwrap_err().to_string();
    assert!(error.starts_with("limiter: is no table") && error.contains("write {"), "{error}");
}

#[test]
fn required_policies_are_named() {
    let config = Config::from_toml("policies.api.quota = \"1/s\"").unwrap();
    let config = config.require(["api"]).unwrap();
    let error = config.require(["api", "login"]).unwrap_err().to_string();
    assert!(error.contains("\"login\" is missing") && error.contains("only: api"), "{error}");
}

#[test]
fn what_can_do_nothing_is_refused() {
    let rule = "threshold = 3, window = \"1m\", duration = \"1m\"";
    let idle =
        error(&format!("[policies.api]\nquota = \"1/s\"\nban = {{ {rule}, refusals = false }}"));
    assert!(idle.contains("policies.api.ban: nothing strikes"), "{idle}");
    let alike = error("policies.my-api.quota = \"1/s\"\npolicies.my_api.quota = \"1/s\"");
    assert!(alike.contains("my-api") && alike.contains("my_api"), "{alike}");
    let many = error("max_keys = 1000000000000");
    assert!(many.contains("max_keys: is 1000000000000; write 1 to 100000000"), "{many}");
}

#[test]
fn a_missing_file_is_named_in_full() {
    let error = Config::from_file("no/such.toml").unwrap_err().to_string();
    let full = std::path::absolute("no/such.toml").unwrap();
    assert!(error.contains(&full.display().to_string()), "{error}");
}

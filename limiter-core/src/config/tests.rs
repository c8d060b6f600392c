use super::*;
use crate::{Algorithm, BanAnswer, HeaderStyle, Mode, OnStoreError};

fn error(toml: &str) -> String {
    Config::from_toml(toml).unwrap_err().to_string()
}

fn policy(toml: &str) -> Policy {
    let toml = format!("[policies.api]\nquota = \"10/minute\"\n{toml}");
    Config::from_toml(&toml).unwrap().policies.remove(0)
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
        fallback_address = "127.0.0.1"

        [policies.login]
        quota = "5/minute"
        algorithm = "sliding_window"
        key = ["header:X-Api-Key", "endpoint"]
        per_address = 3
        mode = "shadow"
        headers = "x-ratelimit"
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
    let policy = &config.policies[0];
    assert_eq!(policy.name(), "login");
    assert_eq!(policy.quotas()[0].algorithm(), Algorithm::SlidingWindow);
    assert_eq!(policy.key().to_string(), "header:x-api-key + endpoint");
    assert_eq!(policy.companion().unwrap().quotas()[0].limit(), 15);
    assert_eq!(policy.mode(), Mode::Shadow);
    assert_eq!(policy.headers(), HeaderStyle::XRateLimit);
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
        (format!("{api}\nkey = \"adress\""), vec!["adress", "policies.api.key", "\"ip\""]),
        (format!("{api}\nkey = 7"), vec!["policies.api.key", "\"7\" is no part of a key"]),
        (format!("{api}\nmode = \"on\""), vec!["on", "enforce", "shadow", "off"]),
        (format!("{api}\nheaders = \"draft-99\""), vec!["draft-99", "draft-11"]),
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
fn a_shared_store_is_chosen_by_its_scheme() {
    let cases = [
        ("redis://:pw@localhost:1/0", "redis", cfg!(feature = "redis")),
        ("redis-cluster://:pw@a:1,b:2", "redis", cfg!(feature = "redis")),
        ("redis-sentinel://:pw@a:1,b:2/x", "redis", cfg!(feature = "redis")),
        ("postgres://x:pw@localhost:1/x", "postgres", cfg!(feature = "postgres")),
        ("mysql://x:pw@localhost:1/x", "mysql", cfg!(feature = "mysql")),
        ("sqlite://pw@x", "sqlite", cfg!(feature = "sqlite")),
    ];
    for (url, feature, compiled) in cases {
        let toml = format!(
            "store = \"{url}\"\nprefix = \"shop\"\nkey_secret = \"hush\"\n\
             timeout = \"50ms\"\npool_size = 7\nmigrate = false"
        );
        if compiled {
            let shown = format!("{:?}", Config::from_toml(&toml).unwrap());
            assert!(shown.contains("shop") && shown.contains("50ms") && shown.contains("7"));
            assert!(!shown.contains("pw@") && !shown.contains("hush"), "{shown}");
        } else {
            let error = error(&toml);
            assert!(error.contains(&format!("store: needs the feature \"{feature}\"")), "{error}");
        }
    }
    // A test may put memory in the place of production's store, and leave the rest.
    Config::from_toml("store = \"memory\"\ntimeout = \"50ms\"\nlocal_share = 4").unwrap();
}

#[test]
#[cfg(feature = "sqlite")]
fn settings_of_a_shared_store_are_checked() {
    let cases = [
        ("prefix = \"a-b\"", "prefix: is \"a-b\""),
        ("pool_size = 0", "pool_size: is 0; write 1 to 1000"),
        ("timeout = \"0s\"", "timeout: is 0s"),
        ("migrate = 1", "migrate: "),
    ];
    for (setting, expected) in cases {
        let error = error(&format!("store = \"sqlite://x\"\n{setting}"));
        assert!(error.contains(expected), "{error}");
    }
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

/// What newcomers write, and the sentence that they get: the place, and what to
/// write instead.
#[test]
fn a_newcomers_mistake_is_answered_by_what_to_write() {
    let quota = |text: &str| format!("[policies.api]\nquota = {text}");
    let ban = |text: &str| format!("[policies.api]\nquota = \"1/s\"\nban = {text}");
    let table = [
        (
            ban("{ duration = 120 }"),
            "policies.api.ban.duration: is 120, without a unit; write \"120s\" for seconds",
        ),
        (ban("true"), "policies.api.ban: is true; write a table, such as { threshold = 10, window"),
        (ban("3"), "policies.api.ban: is 3; write a table, such as"),
        (
            ban("{ threshold = 3, window = \"1m\" }"),
            "the key \"duration\" is missing; write duration = \"10m\"",
        ),
        (
            ban("{ threshold = 3, window = \"1m\", duration = \"1m\", refusals = \"no\" }"),
            "policies.api.ban.refusals: is \"no\"; write true or false",
        ),
        (
            ban("{ threshold = \"many\" }"),
            "policies.api.ban.threshold: is \"many\"; write a whole number",
        ),
        (
            ban("{ threshold = 3, window = \"1m\", duration = \"1m\", statuses = [\"4xx\"] }"),
            "holds \"4xx\", which is no HTTP status; write [401, 403]",
        ),
        (
            quota("\"100/hour, 10/minute\""),
            "policies.api.quota: \"100/hour, 10/minute\" is not a quota: quotas have \";\" between them, as in \"100/hour; 10/minute\"",
        ),
        (
            quota("\"10/60\""),
            "policies.api.quota: \"10/60\" is not a quota: the window 60 has no unit, as in \"60s\"",
        ),
        (quota("10"), "policies.api.quota: is 10, a limit without a window; write \"10/minute\""),
        (quota("[\"10/s\", \"100/h\"]"), "policies.api.quota: is a list; write \"10/s; 100/h\""),
        (
            "[policies.api]\nlimit = 10\nperiod = 60".to_owned(),
            "limit = 10 and period = 60 are quota = \"10/60s\"",
        ),
        (
            "[policies.api]\nidentifier = \"ip\"".to_owned(),
            "policies.api.identifier: there is no key \"identifier\"; write key = \"ip\"",
        ),
        (
            "[policies.api]\nban_threshold = 10".to_owned(),
            "there is no key \"ban_threshold\"; write ban = { threshold = 10",
        ),
        (
            "[policies]\napi = \"10/minute\"".to_owned(),
            "policies.api: is \"10/minute\"; write a table, such as { quota = \"10/minute\" }",
        ),
        ("policies = 3".to_owned(), "policies: is 3; write a table, such as policies = { api"),
        (
            "store = \"redis\"".to_owned(),
            "store: \"redis\" does not say where the server is; write \"redis://localhost:6379\"",
        ),
        ("store = \"\"".to_owned(), "store: is empty; write \"memory\", or an URL such as"),
        ("store = \"localhost:6379\"".to_owned(), "store: is no URL, since it has no \"://\""),
        ("cache = \"redis://h\"".to_owned(), "there is no key \"cache\"; write store = \"redis://"),
        (
            "timeout = 100".to_owned(),
            "timeout: is 100, without a unit; write \"100s\" for seconds or \"100ms\"",
        ),
        ("deadline = \"1s\"".to_owned(), "there is no key \"deadline\"; write timeout = \"100ms\""),
        ("max_keys = \"lots\"".to_owned(), "max_keys: is \"lots\"; write a whole number"),
        (
            "mode = \"dry-run\"".to_owned(),
            "mode: \"dry-run\" is not known; write \"enforce\" or \"shadow\" or \"off\"",
        ),
        (
            "exempt = [\"health\"]".to_owned(),
            "exempt: \"health\" is no endpoint; write a method and the pattern of a route, such as \"GET /health\"",
        ),
        ("allow = true".to_owned(), "allow: is true; write a list of texts"),
    ];
    for (toml, sentence) in table {
        let error = error(&toml);
        assert!(error.contains(sentence), "{toml}\n=> {error}\nlacks {sentence}");
        assert_eq!(error.lines().count(), 1, "{error}");
        // What `main() -> Result<(), Box<dyn Error>>` prints.
        assert_eq!(format!("{:?}", Config::from_toml(&toml).unwrap_err()), error);
    }
}

#[test]
fn a_secret_is_in_no_message() {
    let table = [
        "store = \"hunter2\"",
        "store = [\"hunter2\"]",
        "store = { hunter2 = 1 }",
        "store = \"redis://:hunter2@\\u0000\"",
        "key_secret = [\"hunter2\"]",
        "key_secret = { hunter2 = 1 }",
        "key_secret = \"hunter2",
    ];
    for toml in table {
        if let Err(error) = Config::from_toml(toml) {
            assert!(!error.to_string().contains("hunter2"), "{toml}: {error}");
        }
    }
    let figment = Figment::from(Toml::string("limiter = \"{store=redis://:hunter2@h\""));
    let error = Config::from_figment_at(&figment, "limiter").unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

fn from_variables(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    let environment = Environment::of("LIMITER_", variables);
    let toml = Toml::string("[policies.api]\nquota = \"1/s\"");
    Config::from_figment(&Figment::from(toml).merge(environment))
}

#[test]
fn the_environment_is_text_and_is_read_as_what_it_has_to_be() {
    let config = from_variables(&[
        ("LIMITER_MODE", "off"),
        ("LIMITER_ALLOW", "127.0.0.1"),
        ("LIMITER_BLOCK", "10.0.0.0/8, 192.0.2.1"),
        ("LIMITER_MAX_KEYS", "1000"),
        ("LIMITER_TRUSTED_PROXIES", "2"),
        ("LIMITER_CLIENT_IP_HEADER", "forwarded"),
        ("LIMITER_CLIENT_IP_HEADER_REQUIRED", "false"),
        ("LIMITER_POLICIES__API__QUOTA", "5/minute"),
        ("LIMITER_POLICIES__API__KEY", "ip,endpoint"),
        ("LIMITER_POLICIES__API__BAN__THRESHOLD", "3"),
        ("LIMITER_POLICIES__API__BAN__WINDOW", "1m"),
        ("LIMITER_POLICIES__API__BAN__DURATION", "1m"),
        ("LIMITER_POLICIES__API__BAN__FACTOR", "1.5"),
        ("LIMITER_POLICIES__API__BAN__STATUSES", "401"),
        ("LIMITER_POLICIES__LOGIN", "{quota=\"7/hour\"}"),
        ("LIMITER_CONFIG", "/some/file"),
        ("LIMITER_TEST_URL", "x"),
        // What Kubernetes writes for services named limiter and limiter-api.
        ("LIMITER_SERVICE_HOST", "10.0.0.1"),
        ("LIMITER_SERVICE_PORT", "80"),
        ("LIMITER_SERVICE_PORT_HTTP", "80"),
        ("LIMITER_PORT", "tcp://10.0.0.1:80"),
        ("LIMITER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("LIMITER_PORT_80_TCP_PROTO", "tcp"),
        ("LIMITER_PORT_80_TCP_PORT", "80"),
        ("LIMITER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("LIMITER_API_PORT", "udp://10.0.0.2:53"),
        ("LIMITER_API_PORT_53_UDP_ADDR", "10.0.0.2"),
    ])
    .unwrap();
    assert_eq!((config.mode, config.caps.keys), (Mode::Off, 1_000));
    assert!(config.identity.allow.contains("127.0.0.1".parse().unwrap()));
    assert!(config.identity.block.contains("192.0.2.1".parse().unwrap()));
    let [api, login] = &config.policies[..] else { panic!("{:?}", config.policies) };
    assert_eq!(api.quotas().to_string(), "5/1m");
    assert_eq!(api.key().to_string(), "ip + endpoint");
    assert!(api.ban().unwrap().strikes_on(401));
    assert_eq!(login.quotas().to_string(), "7/1h");
    let error = from_variables(&[("LIMITER_PORT", "80")]).unwrap_err().to_string();
    assert!(error.contains("\"port\""), "{error}");
    let error = from_variables(&[("LIMITER_TIMEOUT", "100")]).unwrap_err().to_string();
    assert!(error.contains("write \"100s\""), "{error}");
}

#[test]
fn rockets_flat_keys_are_obeyed() {
    let file = "[default.limiter.policies.api]\nquota = \"1/s\"";
    let figment = Figment::from(Toml::string(file).nested())
        .merge(figment::providers::Serialized::global("limiter__policies__api__quota", "5/minute"))
        .merge(figment::providers::Serialized::global("limiter__max_keys", 7));
    let config = Config::from_figment_at(&figment, "limiter").unwrap();
    assert_eq!(config.policies[0].quotas().to_string(), "5/1m");
    assert_eq!(config.caps.keys, 7);
    let typo = figment.merge(figment::providers::Serialized::global("limiter__polices__x", 1));
    let error = Config::from_figment_at(&typo, "limiter").unwrap_err().to_string();
    assert!(error.contains("\"polices\""), "{error}");
}

/// Every key of the schema is in the reference, and every key of the reference is
/// in the schema.
#[test]
fn the_reference_names_each_key() {
    let reference = include_str!("../../docs/configuration.md");
    let documented = |heading: &str| -> Vec<String> {
        let section = reference.split("\n# ").find(|section| section.starts_with(heading));
        let rows = section.unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
        let mut keys: Vec<_> =
            rows.filter_map(|row| Some(row.split_once('`')?.0.replace(".<name>", ""))).collect();
        keys.sort();
        keys
    };
    let known = |toml: &str| -> Vec<String> {
        let error = error(toml);
        let (_, list) = error.split_once("known are: ").unwrap();
        let (list, _) = list.split_once(" (in").unwrap();
        let mut keys: Vec<_> = list.split(", ").map(str::to_owned).collect();
        keys.sort();
        keys
    };
    assert_eq!(documented("Root"), known("nonsense = 1"));
    assert_eq!(documented("A policy"), known("[policies.api]\nnonsense = 1"));
    assert_eq!(documented("A ban"), known("[policies.api.ban]\nnonsense = 1"));
}

//! Mistakes of newcomers, variables of the environment, and the reference.

use super::*;

/// Mistakes of newcomers, and the sentence that each gets: the place, and what to
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
            ban("{ threshold = 3, window = \"1m\", duration = \"1m\", statuses = [\"4x\"] }"),
            "holds \"4x\", which is no HTTP status and no class of them; write [401, 403] or [\"5xx\"]",
        ),
        (
            ban("{ threshold = 3, window = \"1m\", duration = \"1m\", reserve = true }"),
            "policies.api.ban.reserve: goes with statuses, whose strikes are reserved; write some, or leave reserve out",
        ),
        (
            format!(
                "{}\nlease = true",
                ban(
                    "{ threshold = 3, window = \"1m\", duration = \"1m\", statuses = [401], reserve = true }"
                )
            ),
            "policies.api.lease: does not go with reserve in ban, which charges the store for each request; leave one of both out",
        ),
        (
            format!("{}\nrefund = [\"6xx\"]", quota("\"1/s\"")),
            "policies.api.refund: holds \"6xx\", which is no HTTP status and no class of them; write [401, 403] or [\"5xx\"]",
        ),
        (
            format!("{}\ncount_only = [42]", quota("\"1/s\"")),
            "policies.api.count_only: holds 42, which is no HTTP status; write 100 to 599",
        ),
        (
            format!("{}\ncount_only = []", quota("\"1/s\"")),
            "policies.api.count_only: is empty; write statuses such as [401, 403], or leave it out",
        ),
        (
            format!("{}\nrefund = [\"5xx\"]\ncount_only = [401]", quota("\"1/s\"")),
            "policies.api.count_only: does not go with refund; leave one of both out",
        ),
        (
            quota("\"1,000/hour\""),
            "policies.api.quota: \"1,000/hour\" is not a quota: numbers have no separators, as in \"1000/hour\"",
        ),
        (
            quota("\"10/minute, burst 20\""),
            "policies.api.quota: \"10/minute, burst 20\" is not a quota: a burst follows without a comma, as in \"10/minute burst 20\"",
        ),
        (
            quota("\"1/s\"") + "\nstore = \"redis://localhost\"",
            "policies.api.store: there is no key \"store\"; write it above the first [table]: it is a key of the root",
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
        ("stor = \"memory\"".to_owned(), "there is no key \"stor\"; did you mean \"store\"? known"),
        ("maxKeys = 5".to_owned(), "did you mean \"max_keys\"? known are: mode"),
        (quota("\"1/s\"") + "\nalgoritm = \"gcra\"", "did you mean \"algorithm\"? known are"),
        (ban("{ treshold = 3 }"), "there is no key \"treshold\"; did you mean \"threshold\"?"),
        (
            "quota = \"1/s\"".to_owned(),
            "quota: there is no key \"quota\"; write it below [policies",
        ),
        ("redis_url = \"x\"".to_owned(), "there is no key \"redis_url\"; write store = \"redis://"),
        (quota("\"1/s\"") + "\nenabled = false", "write mode = \"enforce\", \"shadow\" or"),
    ];
    for (toml, sentence) in table {
        let error = error(&toml);
        assert!(error.contains(sentence), "{toml}\n=> {error}\nlacks {sentence}");
        assert_eq!(error.lines().count(), 1, "{error}");
        // The output of `main() -> Result<(), Box<dyn Error>>`.
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
        // Kubernetes writes these for services named limiter and limiter-api.
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
    assert_eq!((config.rules.mode, config.caps.keys), (Mode::Off, 1_000));
    assert!(config.rules.identity.allow.contains("127.0.0.1".parse().unwrap()));
    assert!(config.rules.identity.block.contains("192.0.2.1".parse().unwrap()));
    let [api, login] = &config.rules.policies[..] else { panic!("{:?}", config.rules.policies) };
    assert_eq!(api.quotas().to_string(), "5/1m");
    assert_eq!(api.key().to_string(), "ip + endpoint");
    assert!(api.ban().unwrap().strikes_on(401));
    assert_eq!(login.quotas().to_string(), "7/1h");
    let error = from_variables(&[("LIMITER_PORT", "80")]).unwrap_err().to_string();
    assert!(error.contains("\"port\""), "{error}");
    let error = from_variables(&[("LIMITER_POLICIES_API_QUOTA", "1/s")]).unwrap_err().to_string();
    assert!(error.contains("two \"_\" for each dot"), "{error}");
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
    assert_eq!(config.rules.policies[0].quotas().to_string(), "5/1m");
    assert_eq!(config.caps.keys, 7);
    let typo = figment.merge(figment::providers::Serialized::global("limiter__polices__x", 1));
    let error = Config::from_figment_at(&typo, "limiter").unwrap_err().to_string();
    assert!(error.contains("\"polices\""), "{error}");
}

/// Every key of the schema is in the reference, and every key of the reference is
/// in the schema.
#[test]
fn the_reference_names_each_key() {
    let reference = include_str!("../../../docs/configuration.md");
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

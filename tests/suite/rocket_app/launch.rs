//! Mistakes that stop Rocket's launch, and programs that do not.

use limiter_rocket::{Limiter, RateLimitFairing, RateLimited, policy};
use rocket::{
    Build, Rocket, error::ErrorKind, figment::Figment, get, local::blocking::Client, routes,
};

use super::specific::{figment, limited, names, option, rocket};
use crate::captured_log::CapturedLog;

policy!(Missing = "missing");

type Alias = Option<RateLimited<Missing>>;

#[get("/alias")]
fn alias(_limit: Alias) {}

#[get("/missing")]
fn missing(_limit: RateLimited<Missing>) {}

fn refuses_to_launch(rocket: Rocket<Build>) -> bool {
    match Client::untracked(rocket) {
        Ok(_) => false,
        Err(error) => {
            matches!(error.kind(), ErrorKind::SentinelAborts(_) | ErrorKind::FailedFairings(_))
        }
    }
}

#[test]
fn a_missing_fairing_stops_the_launch() {
    let without = rocket::custom(figment()).mount("/", routes![limited]);
    assert!(refuses_to_launch(without));
}

#[test]
fn an_unknown_policy_stops_the_launch_wherever_it_hides() {
    assert!(refuses_to_launch(rocket().mount("/", routes![missing])));
    assert!(refuses_to_launch(rocket().mount("/", routes![alias])));
    assert!(!refuses_to_launch(rocket().mount("/", routes![limited, option])));
}

#[test]
fn a_wrong_configuration_stops_the_launch() {
    for (key, value) in [
        ("limiter.policies.api.quota", "10/fortnight"),
        ("limiter.policies.api.qouta", "10/hour"),
        ("limiter.store", "carrier-pigeon"),
    ] {
        let rocket = rocket::custom(figment().merge((key, value)));
        assert!(refuses_to_launch(rocket.attach(RateLimitFairing::from_config())), "{key}");
    }
    let nothing = rocket::Config::figment().merge(("log_level", "off"));
    assert!(refuses_to_launch(rocket::custom(nothing).attach(RateLimitFairing::from_config())));
}

/// The last one would be the only one.
#[test]
fn what_is_attached_or_written_twice_stops_the_launch() {
    let fairing = RateLimitFairing::from_config;
    assert!(refuses_to_launch(rocket::custom(figment()).attach(fairing()).attach(fairing())));
    let two = fairing().before_routing("api").before_routing("default");
    assert!(refuses_to_launch(rocket::custom(figment()).attach(two)));
    assert!(!refuses_to_launch(rocket::custom(figment()).attach(fairing())));
}

#[test]
fn a_front_door_must_make_sense() {
    let door = |figment: Figment, policy: &str| {
        rocket::custom(figment).attach(RateLimitFairing::from_config().before_routing(policy))
    };
    assert!(refuses_to_launch(door(figment(), "missing")));
    let by_endpoint = figment().merge(("limiter.policies.api.key", "endpoint"));
    assert!(refuses_to_launch(door(by_endpoint, "api")));
    assert!(!refuses_to_launch(door(figment(), "api")));
    let exempting = |fairing: RateLimitFairing, endpoint: &str| {
        refuses_to_launch(rocket::custom(figment()).attach(fairing.exempt(endpoint)))
    };
    let fairing = || RateLimitFairing::from_config();
    assert!(exempting(fairing().before_routing("api"), "health"));
    assert!(!exempting(fairing().before_routing("api"), "GET /health"));
    // There is nothing that it could be exempt from.
    assert!(exempting(fairing(), "GET /health"));
}

#[test]
fn a_limiter_that_is_managed_already_stays() {
    let limiter = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(Limiter::from_config(
            limiter_rocket::Config::from_toml("policies.default.quota = \"1/s\"").unwrap(),
        ))
        .unwrap();
    let fairing = RateLimitFairing::new(limiter.clone());
    let rocket = rocket::custom(figment()).manage(limiter).attach(fairing);
    assert!(!refuses_to_launch(rocket.mount("/", routes![names])));
}

#[test]
fn what_is_no_table_stops_the_launch() {
    let figment = rocket::Config::figment()
        .merge(("log_level", "off"))
        .merge(("limiter", "{policies={default={quota=\"3/hour\"}"));
    assert!(refuses_to_launch(rocket::custom(figment).attach(RateLimitFairing::from_config())));
}

#[test]
fn what_has_no_effect_is_logged_at_launch() {
    let warnings = |rocket: Rocket<Build>| {
        let log = CapturedLog::start();
        assert!(!refuses_to_launch(rocket));
        let text = log.text();
        [
            text.matches("no route has a RateLimited guard").count(),
            text.matches("exempt: there").count(),
        ]
    };
    let fairing = RateLimitFairing::from_config;
    assert_eq!(warnings(rocket::custom(figment()).attach(fairing())), [1, 0]);
    assert_eq!(warnings(rocket::custom(figment()).attach(fairing().before_routing("api"))), [0, 0]);
    assert_eq!(warnings(rocket().mount("/in", routes![limited])), [0, 0]);

    let exempt = figment().merge(("limiter.exempt", ["GET /in", "/in/{id}", "/limited"]));
    let own = fairing().before_routing("api").exempt("/in").exempt("/<id>");
    let rocket = rocket::custom(exempt).attach(own).mount("/in", routes![limited]);
    assert_eq!(warnings(rocket), [0, 3]);
}

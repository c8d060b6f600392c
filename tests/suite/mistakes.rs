//! Mistakes of an application that would pass in silence: each is an error, or one line in
//! the log, however many requests make it.

use limiter_core::{
    AdmitOptions, ClientIp, Config, Exemptions, Key, Limiter, Networks, Policy, RequestInfo,
};

use crate::{captured_log::CapturedLog, test_request::from};

async fn limiter(policies: impl IntoIterator<Item = Policy>) -> Limiter {
    let builder = policies.into_iter().fold(Limiter::builder(), |builder, one| builder.policy(one));
    builder.build().await.unwrap()
}

fn lines(log: &CapturedLog, text: &str) -> usize {
    log.text().lines().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn a_text_that_is_no_network_or_endpoint_is_the_error_of_the_build() {
    let error = |builder: limiter_core::LimiterBuilder| async {
        builder.build().await.unwrap_err().to_string()
    };
    let build = Limiter::builder;
    assert!(error(build().allow("10.0.0.1/8")).await.starts_with("allow: \"10.0.0.1/8\" has bits"));
    assert!(error(build().block(["192.0.2.1", "x"])).await.starts_with("block: \"x\" is no"));
    assert!(error(build().never_ban("x").allow("y")).await.starts_with("never_ban: \"x\" is no"));
    assert!(error(build().exempt(["/health", "health"])).await.starts_with("exempt: \"health\""));
    let key = Policy::new("api", "1/hour").unwrap().with_key("adress").unwrap_err().to_string();
    assert!(key.starts_with("api.key: \"adress\" is no part of a key"), "{key}");

    let networks: Networks = "192.0.2.0/24, 10.0.0.1".parse().unwrap();
    let fine = build().allow(networks).block("203.0.113.0/24, 2001:db8::/32");
    let fine = fine.exempt(Exemptions::try_from("GET /health").unwrap());
    assert!(fine.build().await.is_ok());
}

#[tokio::test]
async fn nobody_is_limited_if_everybody_is_allowed() {
    let expected = "allow: holds every address, so that nobody is limited; write mode = \"off\"";
    let error = Config::from_toml("allow = [\"0.0.0.0/0\", \"::/0\"]").unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
    let halves = Limiter::builder().allow(["0.0.0.0/1", "128.0.0.0/1"]).build().await;
    assert!(halves.unwrap_err().to_string().starts_with(expected));
    // All are blocked but those of a smaller network in `allow`.
    let some = Limiter::builder().block("0.0.0.0/0").allow("10.0.0.0/8").build().await;
    assert!(some.is_ok());
}

#[tokio::test]
async fn a_cost_over_the_limit_is_explained_to_the_client_and_to_the_log() {
    let log = CapturedLog::start();
    let limiter = limiter(["api", "login"].map(|name| Policy::new(name, "5/hour").unwrap())).await;
    let client = from("192.0.2.1");
    let refusal = async |policy: &str, cost: u64| {
        let options = AdmitOptions::default().with_cost(cost);
        limiter.policy(policy).unwrap().admit(&client, options).await.err().map(|r| r.body())
    };
    for _ in 0..100 {
        let body = refusal("api", 6).await.expect("it is refused");
        assert!(body.contains("\"detail\":\"The request costs more than the limit"), "{body}");
    }
    assert_eq!(refusal("login", 5).await, None);
    let body = refusal("login", 5).await.expect("it is refused");
    assert!(body.contains("Try again in"), "{body}");
    assert_eq!(lines(&log, "can never pass"), 1, "{}", log.text());
    let line = "a request of the cost 6 can never pass: the quota 5/1h holds 5 at most";
    assert_eq!(lines(&log, line), 1, "{}", log.text());
    refusal("login", 7).await;
    assert_eq!(lines(&log, "can never pass"), 2, "{}", log.text());
}

#[tokio::test]
async fn a_change_of_a_key_that_the_policy_does_not_count_is_logged_once() {
    let log = CapturedLog::start();
    let policies = || [Policy::new("api", "5/hour").unwrap(), Policy::new("b", "5/hour").unwrap()];
    let limiter = limiter(policies()).await;
    for key in [Key::ip([192, 0, 2, 1].into()), Key::custom("tenant", "7")] {
        limiter.reset("api", &key).await.unwrap();
    }
    assert_eq!(lines(&log, "has no effect on any request"), 0, "{}", log.text());
    for n in 0..100 {
        limiter.reset("api", &Key::user(&n.to_string())).await.unwrap();
    }
    let line = "has no effect on any request: the policy counts by \"ip\", which makes no such key";
    assert_eq!(lines(&log, line), 1, "{}", log.text());
    limiter.reset("b", &Key::user("alice")).await.unwrap();
    assert_eq!(lines(&log, line), 2, "{}", log.text());

    // An application whose policies count what it says.
    let other = self::limiter(policies()).await;
    let alice = Key::user("alice");
    let api = other.policy("api").unwrap();
    let options = AdmitOptions::default().with_key(Some(alice.clone()));
    api.admit(&from("192.0.2.1"), options).await.unwrap();
    other.reset("api", &alice).await.unwrap();
    assert_eq!(lines(&log, line), 2, "{}", log.text());
}

#[tokio::test]
async fn users_that_nobody_ever_is_are_logged_once() {
    let log = CapturedLog::start();
    let limiter = limiter([
        Policy::new("api", "1/hour").unwrap(),
        Policy::new("mine", "5/hour").unwrap().with_key("user").unwrap(),
    ])
    .await;
    let send = async |policy: &str, times: usize, request: &dyn RequestInfo| {
        let set = limiter.policy(policy).unwrap();
        for _ in 0..times {
            drop(set.admit(request, AdmitOptions::default()).await);
        }
    };
    send("api", 3_000, &from("192.0.2.1")).await;
    send("mine", 999, &from("192.0.2.1")).await;
    assert_eq!(lines(&log, "had a user"), 0, "{}", log.text());
    send("mine", 3_000, &from("192.0.2.1")).await;
    let line = "none of the first 1000 requests that policies with the key \"user\" counted had";
    assert_eq!(lines(&log, line), 1, "{}", log.text());
}

#[tokio::test]
async fn a_header_that_is_nearly_a_proxys_is_logged() {
    let warned = async |header: &str| {
        let log = CapturedLog::start();
        let client_ip = ClientIp::default().with_proxies(["10.0.0.0/8"], header).unwrap();
        Limiter::builder().client_ip(client_ip).build().await.unwrap();
        lines(&log, &format!("client_ip_header is \"{header}\"; if \"x-forwarded-for\" is meant"))
    };
    for misspelt in ["x-forward-for", "x_forwarded_for", "x-forwared-for"] {
        assert_eq!(warned(misspelt).await, 1, "{misspelt}");
    }
    for right in ["x-forwarded-for", "x-real-ip", "x-client-ip", "cf-connecting-ip"] {
        assert_eq!(warned(right).await, 0, "{right}");
    }
}

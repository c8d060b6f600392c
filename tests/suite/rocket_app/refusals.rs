//! Responses to a refused request: catchers, `Option`, `Result`, other
//! fairings.

use limiter_rocket::{RateLimitFairing, RateLimited, Refused};
use rocket::{
    Request, catch, catchers,
    fairing::AdHoc,
    get,
    http::Status,
    local::blocking::{Client, LocalResponse},
    routes,
};

use super::specific::{figment, limited, option, rocket, statuses};

/// Stands for CORS: a fairing that is attached before ours.
#[test]
fn a_refusal_keeps_what_other_fairings_add() {
    let cors = AdHoc::on_response("CORS", |_, response| {
        Box::pin(async move {
            response.set_raw_header("access-control-allow-origin", "*");
        })
    });
    let rocket = rocket::custom(figment()).attach(cors).attach(RateLimitFairing::from_config());
    let client = Client::untracked(rocket.mount("/", routes![limited])).unwrap();
    let response = refused(&client);
    assert_eq!(response.headers().get_one("access-control-allow-origin"), Some("*"));
    assert_eq!(response.content_type().unwrap().to_string(), "application/problem+json");
    assert!(response.into_string().unwrap().contains("quota-exceeded"));
}

#[catch(429)]
fn busy(request: &Request<'_>) -> String {
    format!("busy: {}", request.uri())
}

#[catch(default)]
fn whatever(status: Status, _: &Request<'_>) -> String {
    format!("whatever: {}", status.code)
}

fn refused<'c>(client: &'c Client) -> LocalResponse<'c> {
    for _ in 0..2 {
        assert_eq!(client.get("/").dispatch().status(), Status::Ok);
    }
    client.get("/").dispatch()
}

#[test]
fn catchers_of_the_application_come_first() {
    for (catchers, body) in [(catchers![busy], "busy: /"), (catchers![whatever], "whatever: 429")] {
        let rocket = rocket().mount("/", routes![limited]).register("/", catchers);
        let client = Client::untracked(rocket).unwrap();
        let response = refused(&client);
        assert_eq!(response.status(), Status::TooManyRequests);
        // The time to wait is told all the same.
        assert_eq!(response.headers().get_one("retry-after"), Some("1800"));
        assert_eq!(response.headers().get_one("ratelimit"), Some(r#""default";r=0;t=1800"#));
        assert_eq!(response.into_string().unwrap(), body);
    }
}

/// Does not look at the refusal.
#[get("/result")]
fn result(limit: Result<RateLimited, Refused>) -> Status {
    if limit.is_ok() { Status::Ok } else { Status::Unauthorized }
}

#[test]
fn an_option_does_not_make_a_refusal_a_permission() {
    let cookie = AdHoc::on_response("cookie", |_, response| {
        Box::pin(async move {
            response.adjoin_raw_header("set-cookie", "own=1");
        })
    });
    let rocket = rocket().attach(cookie).mount("/", routes![option, result]);
    let client = Client::untracked(rocket).unwrap();
    for _ in 0..2 {
        assert_eq!(client.get("/option").dispatch().into_string().unwrap(), "admitted");
    }
    for path in ["/option", "/result"] {
        let refused = client.get(path).dispatch();
        assert_eq!(refused.status(), Status::TooManyRequests, "{path}");
        assert!(refused.headers().contains("retry-after"));
        let cookies: Vec<_> = refused.headers().get("set-cookie").collect();
        assert_eq!(cookies, ["own=1"]);
        assert!(refused.into_string().unwrap().contains("quota-exceeded"));
    }
}

/// Answers 403 whether it is admitted or not, as a failed login might.
#[get("/login")]
fn forbids(limit: Option<RateLimited>) -> (Status, &'static str) {
    (Status::Forbidden, if limit.is_some() { "wrong password" } else { "still wrong" })
}

/// Whichever catchers there are, and though the status is the ban's.
#[test]
fn what_a_handler_behind_a_refused_guard_answers_does_not_go_out() {
    let banning = figment()
        .merge(("limiter.policies.default.quota", "1/hour"))
        .merge(("limiter.policies.default.ban.threshold", 1))
        .merge(("limiter.policies.default.ban.window", "1h"))
        .merge(("limiter.policies.default.ban.duration", "1h"));
    let answer_of = |catchers: Vec<rocket::Catcher>| {
        let rocket = rocket::custom(banning.clone()).attach(RateLimitFairing::from_config());
        let rocket = rocket.mount("/", routes![forbids]).register("/", catchers);
        let client = Client::untracked(rocket).unwrap();
        assert_eq!(client.get("/login").dispatch().into_string().unwrap(), "wrong password");
        let banned = client.get("/login").dispatch();
        assert_eq!(banned.status(), Status::Forbidden);
        assert!(banned.headers().get_one("set-cookie").is_none());
        assert_eq!(banned.headers().get_one("retry-after"), Some("3600"));
        banned.into_string().unwrap()
    };
    assert!(answer_of(catchers![]).contains("abnormal-usage-detected"));
    assert!(answer_of(catchers![busy]).contains("abnormal-usage-detected"));
    assert_eq!(answer_of(catchers![whatever]), "whatever: 403");
}

#[get("/own/<status>")]
fn own_answer(limit: Result<RateLimited, Refused>, status: u16) -> (Status, String) {
    match limit {
        Ok(_) => (Status::Ok, "admitted".to_owned()),
        Err(refused) => {
            let policy = refused.refusal().policy().unwrap_or_default();
            (Status::new(status), format!("own answer: {policy}"))
        }
    }
}

#[get("/responder")]
fn responder(limit: Result<RateLimited, Refused>) -> Result<&'static str, Refused> {
    limit.map(|_| "admitted")
}

#[catch(429)]
fn later(request: &Request<'_>) -> (Status, String) {
    let refusal = limiter_rocket::refusal(request).expect("the request was refused");
    (Status::ServiceUnavailable, format!("{:?}", refusal.kind()))
}

#[test]
fn what_the_application_answers_to_a_refusal_goes_out() {
    for catchers in [catchers![], catchers![busy], catchers![whatever]] {
        let rocket = rocket().mount("/", routes![own_answer, responder, limited]);
        let client = Client::untracked(rocket.register("/", catchers)).unwrap();
        for _ in 0..2 {
            assert_eq!(client.get("/").dispatch().status(), Status::Ok);
        }
        for (path, status) in [("/own/429", 429), ("/own/503", 503), ("/own/200", 200)] {
            let answer = client.get(path).dispatch();
            assert_eq!(answer.status().code, status);
            assert_eq!(answer.headers().get_one("retry-after"), Some("1800"));
            assert_eq!(answer.headers().get("ratelimit").count(), 1);
            assert_eq!(answer.into_string().unwrap(), "own answer: default");
        }
        let answer = client.get("/responder").dispatch();
        assert_eq!(answer.status(), Status::TooManyRequests);
        assert_eq!(answer.headers().get("retry-after").count(), 1);
        assert_eq!(answer.headers().get("ratelimit").count(), 1);
        assert!(answer.into_string().unwrap().contains("quota-exceeded"));
    }
    let rocket = rocket().mount("/", routes![limited]).register("/", catchers![later]);
    let client = Client::untracked(rocket).unwrap();
    let answer = refused(&client);
    assert_eq!(answer.status(), Status::ServiceUnavailable);
    assert_eq!(answer.headers().get_one("retry-after"), Some("1800"));
    assert_eq!(answer.into_string().unwrap(), "Limited");
}

/// Asks the guard again, as a catcher may that serves several statuses.
#[catch(429)]
async fn asks_again(request: &Request<'_>) -> String {
    let again = request.guard::<RateLimited>().await;
    format!("again: {}", again.is_error())
}

#[get("/asks-twice")]
fn asks_twice(_first: Option<RateLimited>, _second: RateLimited) {}

#[test]
fn a_refusal_asked_for_twice_strikes_once() {
    let figment = figment()
        .merge(("limiter.policies.default.quota", "1/hour"))
        .merge(("limiter.policies.default.ban.threshold", 3))
        .merge(("limiter.policies.default.ban.window", "1h"))
        .merge(("limiter.policies.default.ban.duration", "1h"));
    for path in ["/", "/asks-twice"] {
        let rocket = rocket::custom(figment.clone()).attach(RateLimitFairing::from_config());
        let rocket = rocket.mount("/", routes![limited, asks_twice]);
        let rocket = rocket.register("/", catchers![asks_again]);
        let expected = [200, 429, 429, 403, 403];
        assert_eq!(statuses(rocket, &[path; 5]), expected, "{path}");
    }
}

/// Registers its catcher while others ignite, after ours has.
#[test]
fn a_catcher_that_is_registered_late_stays() {
    let late = AdHoc::on_ignite("late", |rocket| {
        Box::pin(async { rocket.register("/", catchers![busy]) })
    });
    let client = Client::untracked(rocket().attach(late).mount("/", routes![limited])).unwrap();
    assert_eq!(refused(&client).into_string().unwrap(), "busy: /");
}

//! The HTTP contract: requests, and what both frameworks answer.
//!
//! Each case is a configuration and a list of steps. Both drivers put the same
//! routes in front of it (see [`Routes`]), on a clock that only the steps move.

mod cases;
mod generated;
pub(crate) mod shadow;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use limiter_core::{
    Answer, Ban, BanChange, BanPage, Check, Config, Decision, Item, Limiter, LimiterBuilder,
    ManualClock, MemoryStore, Policy, Store, StoreError,
    settlement::{Settled, SettledItem},
};

pub(crate) use self::cases::{cases, shared_cases};
use crate::{
    conformance::clock,
    databases::{clocked_store, unique},
    switchable_store::SwitchableStore,
};

/// The policies that the routes name, where a case does not say otherwise.
const BASE: &str = r#"
    [policies.default]
    quota = "1000/hour"
    [policies.api]
    quota = "1000/hour"
    [policies.login]
    quota = "1000/hour"
    [policies.item]
    quota = "1000/hour"
    key = ["ip", "endpoint"]
    [policies.user]
    quota = "1000/hour"
    key = "user"
    [policies.plan]
    quota = "5/hour"
    [policies.tenant]
    quota = "1000/hour"
    key = "header:x-api-key"
    [policies.door]
    quota = "100000/hour"
    headers = "none"
"#;

/// The application of both drivers. `door` is in front of all of it, but for `GET /spared`.
///
/// | request | policies | answer |
/// |---|---|---|
/// | `GET /default` | `default` | 200 |
/// | `GET /api` | `api` | 200 |
/// | `GET /both` | `default` and `api`, apart | 200 |
/// | `GET /together` | `default` with `api` | 200 |
/// | `GET /twice` | `default`, twice | 200 |
/// | `POST /login` | `login` | 200 with the body `secret`, else 401 |
/// | `GET /item/<id>`, `POST /item/<id>` | `item` | 200 |
/// | `GET /login-page` | `item` | 200 |
/// | `GET /user` | `user`, by the header `x-test-user` | 200 |
/// | `GET /tenant` | `tenant` | 200 |
/// | `GET /left` | `default` | 200 and what is left of it |
/// | `GET /dear` | `default`, then again at a cost of 10 | 200 |
/// | `GET /dear-together` | `default`, then with `api` at a cost of 10 | 200 |
/// | `GET` and `OPTIONS /any/<id>` | `item` | 200 |
/// | `OPTIONS /any-login` | `login` | as `POST /login` |
/// | `POST /forgiving` | `login` | as `POST /login`, whose success forgives |
/// | `GET /spared`, `POST /spared` | `default` | 200 |
/// | `GET` and `OPTIONS /by-hand` | `api`, and by hand `default` with `api` at a cost of 3 | 200 |
/// | `POST /keyed-login` | `tenant` | as `POST /login` |
/// | `GET /forbidden` | `login` | an error of status 403 |
/// | `POST /answer` | `default` | the status that the body names |
/// | `POST /charge` | `default`, then charged to as much as the body says | 200 |
/// | `GET /plan` | `plan`, as `50/hour` with the header `x-test-plan` | 200 |
pub(crate) trait Routes {
    /// Sends a request and returns the answer.
    async fn send(&self, request: &Request) -> Reply;
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: &'static str,
    pub(crate) peer: Option<IpAddr>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Lines of one name joined as a list.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// One case of the contract.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    config: &'static str,
    store_fails: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        request: Request,
        times: u32,
        expect: Expect,
    },
    Advance(Duration),
    /// Generated requests, against a model.
    Generated,
}

/// The expected answer; parts that are not named may be anything.
#[derive(Clone, Debug, Default)]
struct Expect {
    status: u16,
    headers: Vec<(&'static str, String)>,
    absent: Vec<&'static str>,
    body: Option<serde_json::Value>,
    text: Option<&'static str>,
}

/// Where a case's state lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stores {
    /// In memory.
    AtOnce,
    /// Elsewhere, with the deny cache and the circuit breaker in front.
    ToWaitFor,
    /// In the database of that URL.
    Shared(&'static str),
}

/// A limiter, and the clock that its store goes by.
pub(crate) struct Setup {
    pub(crate) limiter: Limiter,
    clock: ManualClock,
}

impl Case {
    /// Returns true if it can be run with a store to wait for: what that one refuses is
    /// believed for a second, whatever the case's clock says meanwhile.
    pub(crate) fn stands_still(&self) -> bool {
        !self.store_fails && self.steps.iter().all(|step| !matches!(step, Step::Advance(_)))
    }

    pub(crate) async fn setup(&self, stores: Stores) -> Setup {
        let figment = Figment::from(Toml::string(BASE)).merge(Toml::string(self.config));
        let config = Config::from_figment(&figment).expect("the case's configuration is one");
        let clock = clock();
        let builder = LimiterBuilder::from_config(config);
        let memory = MemoryStore::builder().clock(clock.clone()).build();
        let builder = match stores {
            _ if self.store_fails => builder.store(Failing),
            Stores::AtOnce => builder.store(memory),
            Stores::ToWaitFor => builder.store(SwitchableStore {
                store: memory,
                slowness: 1,
                ..SwitchableStore::default()
            }),
            Stores::Shared(url) => {
                builder.store(clocked_store(url, &unique("contract"), clock.clone()).await)
            }
        };
        Setup { limiter: builder.build().await.expect("the case's policies fit"), clock }
    }

    /// Runs the steps against a driver's routes.
    pub(crate) async fn run(&self, setup: &Setup, routes: &impl Routes) {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Advance(duration) => setup.clock.advance(*duration),
                Step::Generated => generated::run(routes, &setup.clock).await,
                Step::Send { request, times, expect } => {
                    for time in 0..*times {
                        let reply = routes.send(request).await;
                        let place =
                            format!("{}, step {at}.{time}: {request:?}\n{reply:?}", self.name);
                        expect.check(&reply, &place);
                    }
                }
            }
        }
    }
}

impl Expect {
    fn check(&self, reply: &Reply, place: &str) {
        assert_eq!(reply.status, self.status, "{place}");
        for (name, value) in &self.headers {
            assert_eq!(reply.headers.get(*name), Some(value), "{name} of {place}");
        }
        for name in &self.absent {
            assert_eq!(reply.headers.get(*name), None, "{name} of {place}");
        }
        if let Some(expected) = &self.body {
            let body: serde_json::Value = serde_json::from_str(&reply.body).expect(place);
            assert_eq!(&body, expected, "{place}");
        }
        if let Some(text) = self.text {
            assert_eq!(reply.body, text, "{place}");
        }
    }
}

/// A store that never answers.
#[derive(Debug)]
struct Failing;

fn failed<'a, T>() -> Answer<'a, T> {
    Answer::Pending(Box::pin(async { Err(StoreError::new("the connection was refused")) }))
}

impl Store for Failing {
    fn decide<'a>(&'a self, _: Check<'a>) -> Answer<'a, Decision> {
        failed()
    }

    fn settle<'a>(&'a self, _: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>> {
        failed()
    }

    fn change_ban<'a>(&'a self, _: Item<'a>, _: BanChange) -> Answer<'a, ()> {
        failed()
    }

    fn reset<'a>(&'a self, _: Item<'a>) -> Answer<'a, ()> {
        failed()
    }

    fn ban<'a>(&'a self, _: Item<'a>) -> Answer<'a, Option<Ban>> {
        failed()
    }

    fn bans<'a>(&'a self, _: &'a Policy, _: Option<&'a str>, _: usize) -> Answer<'a, BanPage> {
        failed()
    }
}

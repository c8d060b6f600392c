//! On Redis, one server and a cluster.

mod empty_script;

use std::time::Instant;

use actix_extensible_rate_limit::backend::{Backend, SimpleInput, redis::RedisBackend};
use limiter_core::{Limiter, Quota, Quotas};
use tokio::runtime::Runtime;

use self::empty_script::EmptyScript;
use super::{HOUR, KEYS, Measure, Ours, flexible, user};
use crate::{
    chart::{Chart, Group, Kind},
    load::{Load, alone, alone_in_turn, of_one_thread, runtime, throughput},
    machine::version,
    node::Flexible,
    options::Pace,
    report::{Row, Section, Target, a_second, keys as told, microseconds},
    rounds::{Contender, Rounds, in_turn, side_by_side},
    suite::servers::{cluster_url, redis_url},
};

/// How many keys are banned: a few clients that keep hammering.
const BANNED: usize = 10;

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let runtimes = [runtime(None), runtime(Some(1))];
    let [runtime, _] = &runtimes;
    let peer = Flexible::start();
    let hours = |n: u32| Quota::new(u64::from(n) * 1_000_000_000, n * HOUR);
    let three = [1, 2, 3].map(|n| hours(n).expect("it is one"));
    let three = Quotas::new(three).expect("they differ");
    let stage = Stage {
        ours: runtime.block_on(Ours::connect(redis_url())),
        three: runtime.block_on(Ours::connect_with(redis_url(), "three", three)),
        cluster: runtime.block_on(Ours::connect(cluster_url())),
        extensible: runtime.block_on(extensible()),
        floor: runtime.block_on(EmptyScript::connect()),
        flexible: peer.as_ref(),
        runtimes: &runtimes,
    };
    let (mut rows, groups) = stage.throughputs(pace);
    rows.push(stage.three_quotas(pace));
    rows.extend([(8, 1.0), (16, 1.1)].map(|(in_flight, least)| stage.few(pace, in_flight, least)));
    rows.extend(stage.waits(pace));
    rows.extend(stage.refusals(pace));
    let series =
        ["ours", "ours, a cluster", "actix-extensible-rate-limit", "rate-limiter-flexible"];
    let chart = Chart {
        name: "redis",
        title: "Checks a second on Redis, 64 in flight".to_owned(),
        kind: Kind::Bars { series: series.map(str::to_owned).to_vec(), groups },
    };
    let note = format!(
        "Redis {}, one connection each (ours one for each runtime, and one for its own thread), \
         64 checks in flight unless a row says otherwise, ours by GCRA with a ban rule, the whole decision returned; the others by their fixed windows \
         without bans, of which rate-limiter-flexible returns what remains and when, \
         actix-extensible-rate-limit as well. Ours and actix-extensible-rate-limit each on the \
         better of a runtime with one worker and one with two; with one in flight on one thread, \
         as a worker of actix-web. The floor is a script that does \
         nothing, called with three keys. The cluster is three masters on the same machine.",
        version("redis-server")
    );
    vec![Section { title: "On Redis", note, rows, limits: LIMITS, charts: vec![chart] }]
}

const LIMITS: &str = "\
with many in flight, the server's one thread: a check takes it 21,000 instructions in a batch of 16, of which writing \
takes 5,800. With one in flight, it takes 60,000 where a script that does nothing takes 20,000: the clock 8,500, \
reading 6,500, writing 7,200, the parameters 5,000; and the server and the thread that asks wake each other, on a \
virtual machine whose processors sleep in between. The peers' scripts only count.";

struct Stage<'a> {
    ours: Ours,
    three: Ours,
    cluster: Ours,
    extensible: RedisBackend,
    floor: EmptyScript,
    flexible: Option<&'a Flexible>,
    /// With a worker for each core, and with one.
    runtimes: &'a [Runtime; 2],
}

impl Stage<'_> {
    const fn runtime(&self) -> &Runtime {
        &self.runtimes[0]
    }

    fn throughputs(&self, pace: &Pace) -> (Vec<Row>, Vec<Group>) {
        let all = [(KEYS, 2.2), (1, 3.4)].map(|(keys, least)| self.throughput(pace, keys, least));
        let (rows, groups): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        (rows.into_iter().flatten().collect(), groups)
    }

    fn throughput(&self, pace: &Pace, keys: usize, least: f64) -> ([Row; 4], Group) {
        let measure = Measure::Throughput(Load::of(keys));
        let [two, one] = self.runtimes;
        let mut contenders = vec![
            self.ours.contender(two, pace, measure),
            self.ours.contender(one, pace, measure),
            self.extensible(two, pace, keys),
            self.extensible(one, pace, keys),
            self.cluster.contender(two, pace, measure),
            self.floor(pace, Load::of(keys)),
        ];
        contenders.extend(self.flexible.map(|peer| flexible(peer, redis_url(), pace, measure)));
        let rounds = in_turn(pace.rounds, contenders);
        let (ours, extensible) = (rounds.highest([0, 1]), rounds.highest([2, 3]));
        let rate = |n| a_second(rounds.median(n));
        let beside = |name: &str, n: usize, target| Row {
            work: told(keys),
            ours: rate(ours),
            beside: format!("{name} {}", rate(n)),
            ratios: vec![rounds.ratio(ours, n)],
            target,
        };
        let rows = [
            match self.flexible {
                Some(_) => beside("rate-limiter-flexible", 6, Some(Target::AtLeast(least))),
                None => Row::without_node(told(keys), rate(ours)),
            },
            beside("actix-extensible-rate-limit", extensible, Some(Target::AtLeast(1.35))),
            beside("the floor", 5, None),
            Row {
                work: format!("{}, a cluster", told(keys)),
                ours: rate(4),
                beside: format!("one server {}", rate(0)),
                ratios: vec![rounds.ratio(4, 0)],
                target: Some(Target::AtLeast(0.6)),
            },
        ];
        let bars = [ours, 4, extensible].map(|n| Some(rounds.median(n)));
        let bars = bars.into_iter().chain([self.flexible.map(|_| rounds.median(6))]).collect();
        (rows, Group { name: told(keys), bars })
    }

    /// A policy of three quotas, beside the peer's one.
    fn three_quotas(&self, pace: &Pace) -> Row {
        self.beside_flexible(pace, &self.three, Load::of(KEYS), "3 quotas, 10 k keys", 1.3)
    }

    /// Few checks in flight, as at ordinary servers.
    fn few(&self, pace: &Pace, in_flight: usize, least: f64) -> Row {
        let work = format!("10 k keys, {in_flight} in flight");
        self.beside_flexible(pace, &self.ours, Load { keys: KEYS, in_flight }, &work, least)
    }

    fn beside_flexible(&self, pace: &Pace, ours: &Ours, load: Load, work: &str, least: f64) -> Row {
        let measure = Measure::Throughput(load);
        let [two, one] = self.runtimes;
        let mut contenders = vec![
            ours.contender(two, pace, measure),
            ours.contender(one, pace, measure),
            self.floor(pace, load),
        ];
        contenders.extend(self.flexible.map(|peer| flexible(peer, redis_url(), pace, measure)));
        let rounds = in_turn(pace.rounds, contenders);
        let ours = rounds.highest([0, 1]);
        let rate = |n| a_second(rounds.median(n));
        match self.flexible {
            None => Row::without_node(work.to_owned(), rate(ours)),
            Some(_) => Row {
                work: work.to_owned(),
                ours: rate(ours),
                beside: format!("rate-limiter-flexible {}, the floor {}", rate(3), rate(2)),
                ratios: vec![rounds.ratio(ours, 3)],
                target: Some(Target::AtLeast(least)),
            },
        }
    }

    fn floor(&self, pace: &Pace, load: Load) -> Contender<'_> {
        let (time, floor) = (pace.time, self.floor.clone());
        let ask = move |key| floor.clone().call(key);
        let runtime = self.runtime();
        Box::new(move || runtime.block_on(throughput(time, load, ask.clone())))
    }

    /// The backend of its middleware, which is what asks Redis.
    fn extensible<'a>(&self, runtime: &'a Runtime, pace: &Pace, keys: usize) -> Contender<'a> {
        let (time, backend) = (pace.time, self.extensible.clone());
        let ask = move |key: usize| {
            let backend = backend.clone();
            async move {
                let key = format!("extensible:{key}");
                let input = SimpleInput { interval: HOUR, max_requests: 1_000_000_000, key };
                let answer = backend.request(input).await;
                assert!(answer.is_ok_and(|(decision, ..)| decision.is_allowed()));
            }
        };
        Box::new(move || runtime.block_on(throughput(time, Load::of(keys), ask.clone())))
    }

    /// One check after the other on one thread, as a worker of actix-web, beside the least
    /// that a script can do.
    fn waits(&self, pace: &Pace) -> Vec<Row> {
        let thread = of_one_thread();
        let floor = thread.block_on(EmptyScript::connect());
        let rounds = side_by_side(pace.rounds, || {
            let floor = |key| floor.clone().call(key);
            thread.block_on(alone_in_turn(pace.time, |key| self.ours.ask(key), floor))
        });
        let row = |rounds: &Rounds, name: &str, most| Row {
            work: "one in flight, until the answer".to_owned(),
            ours: microseconds(rounds.median(0)),
            beside: format!("{name} {}", microseconds(rounds.median(1))),
            ratios: vec![rounds.ratio(0, 1)],
            target: Some(Target::AtMost(most)),
        };
        let beside_floor = row(&rounds, "the floor", 1.12);
        let peer = self.flexible.map(|peer| {
            let contenders = vec![
                self.ours.contender(&thread, pace, Measure::Alone),
                flexible(peer, redis_url(), pace, Measure::Alone),
            ];
            row(&in_turn(pace.rounds, contenders), "rate-limiter-flexible", 1.0)
        });
        [beside_floor].into_iter().chain(peer).collect()
    }

    /// Banned clients, beside clients that are admitted; and one of them alone, whose ban is
    /// looked up in the store now and then.
    fn refusals(&self, pace: &Pace) -> Vec<Row> {
        let (banned, time) = (self.runtime().block_on(self.ban()), pace.time);
        let refused: Contender<'_> = Box::new(|| {
            let ours = banned.clone();
            let ask = move |key| {
                let ours = ours.clone();
                async move { ours.ask_banned(key).await }
            };
            self.runtime().block_on(throughput(time, Load::of(BANNED), ask))
        });
        let admitted =
            self.ours.contender(self.runtime(), pace, Measure::Throughput(Load::of(BANNED)));
        let many = in_turn(pace.rounds, vec![refused, admitted]);
        let thread = of_one_thread();
        thread.block_on(banned.ask_banned(0));
        let (start, calls) = (Instant::now(), banned.calls());
        let one: Contender<'_> =
            Box::new(|| thread.block_on(alone(time, |_| banned.ask_banned(0))));
        let one = in_turn(pace.rounds, vec![one]).median(0);
        let calls = (banned.calls() - calls) as f64 / start.elapsed().as_secs_f64();
        let at_most = |work: &str, ours: String, beside: &str, ratio: f64| Row {
            work: work.to_owned(),
            ours,
            beside: beside.to_owned(),
            ratios: vec![ratio.into()],
            target: Some(Target::AtMost(1.0)),
        };
        vec![
            Row {
                work: "banned clients".to_owned(),
                ours: a_second(many.median(0)),
                beside: format!("admitted {}", a_second(many.median(1))),
                ratios: vec![many.ratio(0, 1)],
                target: None,
            },
            at_most("a banned client, until the answer", microseconds(one), "at most 1 µs", one),
            at_most("the same, calls a second", format!("{calls:.2}"), "at most 1", calls),
        ]
    }

    /// The same policy under another name, whose clients are banned.
    async fn ban(&self) -> Ours {
        let banned = Ours::connect_as(redis_url(), "banned").await;
        let limiter: &Limiter = banned.0.limiter();
        for key in 0..BANNED {
            limiter.ban("banned", &user(key), HOUR).await.expect("the store answers");
        }
        banned
    }
}

async fn extensible() -> RedisBackend {
    let client = peer_redis::Client::open(redis_url()).expect("the URL is one");
    let link = peer_redis::aio::ConnectionManager::new(client).await;
    RedisBackend::builder(link.expect("Redis was started")).build()
}

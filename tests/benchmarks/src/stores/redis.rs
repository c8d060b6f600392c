//! On Redis, one server and a cluster.

use actix_extensible_rate_limit::backend::{Backend, SimpleInput, redis::RedisBackend};
use limiter_core::Limiter;
use redis::{Script, aio::MultiplexedConnection};
use tokio::runtime::Runtime;

use super::{HOUR, KEYS, Measure, Ours, flexible, user};
use crate::{
    chart::{Chart, Group, Kind},
    load::{alone, runtime, throughput},
    machine::version,
    node::Flexible,
    options::Pace,
    report::{Row, Section, Target, a_second, keys as told, microseconds},
    rounds::{Contender, in_turn},
    suite::servers::{cluster_url, redis_url},
};

/// How many keys are banned: a few clients that keep hammering.
const BANNED: usize = 10;

pub(crate) fn measure(pace: &Pace) -> Vec<Section> {
    let runtime = runtime();
    let peer = Flexible::start();
    let stage = Stage {
        ours: runtime.block_on(Ours::connect(redis_url())),
        cluster: runtime.block_on(Ours::connect(cluster_url())),
        extensible: runtime.block_on(extensible()),
        flexible: peer.as_ref(),
        runtime: &runtime,
    };
    let (mut rows, groups) = stage.throughputs(pace);
    rows.extend(stage.waits(pace));
    rows.push(stage.refusals(pace));
    let series =
        ["ours", "ours, a cluster", "actix-extensible-rate-limit", "rate-limiter-flexible"];
    let chart = Chart {
        name: "redis",
        title: "Checks a second on Redis, 64 in flight".to_owned(),
        kind: Kind::Bars { series: series.map(str::to_owned).to_vec(), groups },
    };
    let note = format!(
        "Redis {}, one connection each, 64 checks in flight, ours by GCRA with a ban rule, the \
         others by their fixed windows without bans. The cluster is three masters on the same \
         machine.",
        version("redis-server")
    );
    vec![Section { title: "On Redis", note, rows, charts: vec![chart] }]
}

struct Stage<'a> {
    ours: Ours,
    cluster: Ours,
    extensible: RedisBackend,
    flexible: Option<&'a Flexible>,
    runtime: &'a Runtime,
}

impl Stage<'_> {
    fn throughputs(&self, pace: &Pace) -> (Vec<Row>, Vec<Group>) {
        let all = [KEYS, 1].map(|keys| self.throughput(pace, keys));
        let (rows, groups): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        (rows.into_iter().flatten().collect(), groups)
    }

    fn throughput(&self, pace: &Pace, keys: usize) -> ([Row; 3], Group) {
        let measure = Measure::Throughput(keys);
        let mut contenders = vec![
            self.ours.contender(self.runtime, pace, measure),
            self.cluster.contender(self.runtime, pace, measure),
            self.extensible(pace, keys),
        ];
        contenders.extend(self.flexible.map(|peer| flexible(peer, redis_url(), pace, measure)));
        let rounds = in_turn(pace.rounds, contenders);
        let rate = |n| a_second(rounds.median(n));
        let beside = |name: &str, n: usize| Row {
            work: told(keys),
            ours: rate(0),
            beside: format!("{name} {}", rate(n)),
            ratios: vec![rounds.ratio(0, n)],
            target: Some(Target::AtLeast(1.0)),
        };
        let rows = [
            match self.flexible {
                Some(_) => beside("rate-limiter-flexible", 3),
                None => Row::without_node(told(keys), rate(0)),
            },
            beside("actix-extensible-rate-limit", 2),
            Row {
                work: format!("{}, a cluster", told(keys)),
                ours: rate(1),
                beside: format!("one server {}", rate(0)),
                ratios: vec![rounds.ratio(1, 0)],
                target: None,
            },
        ];
        let bars = (0..3).map(|n| Some(rounds.median(n)));
        let bars = bars.chain([self.flexible.map(|_| rounds.median(3))]).collect();
        (rows, Group { name: told(keys), bars })
    }

    /// The backend of its middleware, which is what asks Redis.
    fn extensible(&self, pace: &Pace, keys: usize) -> Contender<'_> {
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
        Box::new(move || self.runtime.block_on(throughput(time, keys, ask.clone())))
    }

    /// One check after the other, beside the least that a script can do.
    fn waits(&self, pace: &Pace) -> Vec<Row> {
        let (script, link) = (Script::new("return 1"), self.runtime.block_on(link()));
        let time = pace.time;
        let bare: Contender<'_> = Box::new(|| {
            let ask = async |key: usize| {
                let mut call = script.prepare_invoke();
                for part in ["counter", "strikes", "ban"] {
                    call.key(format!("bare:{key}:{part}"));
                }
                let one: redis::RedisResult<i64> = call.invoke_async(&mut link.clone()).await;
                assert_eq!(one, Ok(1));
            };
            self.runtime.block_on(alone(time, ask))
        });
        let mut contenders = vec![self.ours.contender(self.runtime, pace, Measure::Alone), bare];
        let alone = |peer| flexible(peer, redis_url(), pace, Measure::Alone);
        contenders.extend(self.flexible.map(alone));
        let rounds = in_turn(pace.rounds, contenders);
        let wait = |n| microseconds(rounds.median(n));
        let beside = |name: &str, n: usize, most| Row {
            work: "one in flight, until the answer".to_owned(),
            ours: wait(0),
            beside: format!("{name} {}", wait(n)),
            ratios: vec![rounds.ratio(0, n)],
            target: Some(Target::AtMost(most)),
        };
        let bare = beside("a bare EVALSHA", 1, 1.2);
        let peer = self.flexible.map(|_| beside("rate-limiter-flexible", 2, 1.0));
        [bare].into_iter().chain(peer).collect()
    }

    /// Banned clients, beside clients that are admitted.
    fn refusals(&self, pace: &Pace) -> Row {
        let banned = self.runtime.block_on(self.ban());
        let time = pace.time;
        let refused: Contender<'_> = Box::new(|| {
            let ours = banned.clone();
            let ask = move |key| {
                let ours = ours.clone();
                async move { ours.ask_banned(key).await }
            };
            self.runtime.block_on(throughput(time, BANNED, ask))
        });
        let admitted = self.ours.contender(self.runtime, pace, Measure::Throughput(BANNED));
        let rounds = in_turn(pace.rounds, vec![refused, admitted]);
        Row {
            work: "banned clients".to_owned(),
            ours: a_second(rounds.median(0)),
            beside: format!("admitted {}", a_second(rounds.median(1))),
            ratios: vec![rounds.ratio(0, 1)],
            target: Some(Target::AtLeast(20.0)),
        }
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

async fn link() -> MultiplexedConnection {
    let client = redis::Client::open(redis_url()).expect("the URL is one");
    client.get_multiplexed_async_connection().await.expect("Redis was started")
}

async fn extensible() -> RedisBackend {
    let client = peer_redis::Client::open(redis_url()).expect("the URL is one");
    let link = peer_redis::aio::ConnectionManager::new(client).await;
    RedisBackend::builder(link.expect("Redis was started")).build()
}

//! One client with thousands of checks at once and honest ones beside it, without
//! HTTP: the limiter itself, in each way to do without the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use limiter_core::{
    Error, Health, Key, Limiter, OnStoreError, Policy, PolicySet, Quota, RemoteStore, Verdict,
};
use tokio::{runtime, task::JoinSet};

use super::{Form, WAYS, alone, assert_none};
use crate::databases::{on_databases, unique};

const LIMIT: u32 = 20;

/// How often each task of an attacker checks.
const CHECKS: u32 = 3;

/// How often an honest client comes, each time another.
const PERIOD: Duration = Duration::from_millis(5);

on_databases! {
    [redis_url cluster_url postgres_url mysql_url]
    thousands_of_checks_at_once
}

fn thousands_of_checks_at_once(url: &str) {
    let _storm = alone();
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut faults = Vec::new();
    for &tasks in Form::from_environment().tasks() {
        for (way, on_store_error) in WAYS {
            let limiter = runtime.block_on(limiter(url, way, on_store_error));
            let health = HealthWatch::start(&limiter);
            let (attacker, honest) = runtime.block_on(storm(&limiter.policy(way).unwrap(), tasks));
            let changes = health.stop();
            let seen = format!(
                "{way}, {tasks} at once: attacker {attacker:?}, honest {honest:?}, \
                 {changes} changes of health"
            );
            println!("{} {seen}", url.split("://").next().unwrap());
            let checks = [
                ("not exactly the limit is admitted", attacker.admitted == LIMIT),
                ("honest clients are refused", honest.admitted == honest.all()),
                ("the store counts as failed", changes == 0),
                ("the attacker does without the store", attacker.unavailable == 0),
            ];
            let broken = checks.iter().filter(|(_, holds)| !holds);
            faults.extend(broken.map(|(fault, _)| format!("{fault}: {seen}")));
        }
    }
    assert_none(&faults);
}

async fn limiter(url: &str, way: &str, on_store_error: OnStoreError) -> Limiter {
    let store = RemoteStore::builder(url).prefix(&unique("storm"));
    let store = store.timeout(Form::from_environment().timeout()).connect().await.unwrap();
    let policy = Policy::new(way, Quota::per_hour(LIMIT.into()).unwrap()).unwrap();
    let policy = policy.with_on_store_error(on_store_error);
    Limiter::builder().store(store).policy(policy).build().await.unwrap()
}

/// The answers to clients.
#[derive(Clone, Debug, Default)]
struct Answers {
    admitted: u32,
    limited: u32,
    /// Refused because too many wait.
    overloaded: u32,
    unavailable: u32,
    longest: Duration,
}

impl Answers {
    const fn all(&self) -> u32 {
        self.admitted + self.limited + self.overloaded + self.unavailable
    }

    async fn check(&mut self, policy: &PolicySet, user: &str) {
        let subjects = policy.subjects_of(&Key::user(user));
        let start = Instant::now();
        let answer = policy.check(&subjects, 1).await;
        self.longest = self.longest.max(start.elapsed());
        match answer.map(|decision| decision.verdict()) {
            Ok(Verdict::Allowed) => self.admitted += 1,
            Ok(_) => self.limited += 1,
            Err(Error::Overloaded { .. }) => self.overloaded += 1,
            Err(Error::Unavailable(_)) => self.unavailable += 1,
            Err(error) => panic!("{error}"),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.limited += other.limited;
        self.overloaded += other.overloaded;
        self.unavailable += other.unavailable;
        self.longest = self.longest.max(other.longest);
    }
}

/// Returns the answers to the attacker and to the honest clients.
async fn storm(policy: &PolicySet, tasks: u32) -> (Answers, Answers) {
    let stop = Arc::new(AtomicBool::new(false));
    let honest = tokio::spawn(honest(policy.clone(), Arc::clone(&stop)));
    tokio::time::sleep(10 * PERIOD).await;
    let attacks: JoinSet<_> = (0..tasks)
        .map(|_| {
            let policy = policy.clone();
            async move {
                let mut answers = Answers::default();
                for _ in 0..CHECKS {
                    answers.check(&policy, "mallory").await;
                }
                answers
            }
        })
        .collect();
    let mut attacker = Answers::default();
    for answers in attacks.join_all().await {
        attacker.merge(&answers);
    }
    tokio::time::sleep(10 * PERIOD).await;
    stop.store(true, Ordering::Relaxed);
    (attacker, honest.await.unwrap())
}

/// Clients who come one after another whether or not those before them have
/// been answered.
async fn honest(policy: PolicySet, stop: Arc<AtomicBool>) -> Answers {
    let mut clients = JoinSet::new();
    let mut interval = tokio::time::interval(PERIOD);
    while !stop.load(Ordering::Relaxed) {
        interval.tick().await;
        let (policy, user) = (policy.clone(), format!("user{}", clients.len()));
        clients.spawn(async move {
            let mut answers = Answers::default();
            answers.check(&policy, &user).await;
            answers
        });
    }
    let mut all = Answers::default();
    for answers in clients.join_all().await {
        all.merge(&answers);
    }
    all
}

/// Counts how often a limiter's health changes.
pub(crate) struct HealthWatch {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<u32>,
}

impl HealthWatch {
    pub(crate) fn start(limiter: &Limiter) -> Self {
        let (stop, limiter) = (Arc::new(AtomicBool::new(false)), limiter.clone());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut changes, mut was_healthy) = (0, true);
            while !stopped.load(Ordering::Relaxed) {
                let is_healthy = limiter.health() == Health::Healthy;
                changes += u32::from(is_healthy != was_healthy);
                was_healthy = is_healthy;
                thread::sleep(Duration::from_millis(1));
            }
            changes
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

//! Real servers that fail in every way there is: what a client sees meanwhile,
//! how long it waits, and how much more is admitted than the limit.
//!
//! `cargo test -p limiter-tests --test suite real_servers -- --nocapture --test-threads 1`
//! prints the table of `limiter_core::limiter`'s docs.

mod network;
mod redis;
mod sql;
mod tcp_proxy;

pub(crate) use self::tcp_proxy::{Mode, Proxy};

use std::time::{Duration, Instant};

use limiter_core::{
    Error, Health, Key, Limiter, OnStoreError, Policy, Quota, RemoteStore, Verdict,
};

use crate::databases::unique;

/// Units an hour, of each policy.
const LIMIT: u32 = 20;

/// How long a fault lasts.
const FAULT: Duration = Duration::from_millis(1_200);

/// How much longer than its deadline a call may take here: other tests keep
/// the machine busy meanwhile. Alone it is below 20 ms.
const SLACK: Duration = Duration::from_millis(400);
const DEADLINE: Duration = Duration::from_millis(100);

const WAYS: [(&str, OnStoreError); 3] =
    [("local", OnStoreError::Local), ("allow", OnStoreError::Allow), ("deny", OnStoreError::Deny)];

/// One client of three policies that do without the store in three ways.
#[derive(Clone)]
struct Drill {
    limiter: Limiter,
    user: String,
    /// The prefix of its store's tables.
    prefix: String,
    timeout: Duration,
}

/// Answers that a client has got under one policy.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    admitted: u32,
    limited: u32,
    unavailable: u32,
    longest: Duration,
}

impl Seen {
    fn plus(self, other: Self) -> Self {
        Self {
            admitted: self.admitted + other.admitted,
            limited: self.limited + other.limited,
            unavailable: self.unavailable + other.unavailable,
            longest: self.longest.max(other.longest),
        }
    }
}

/// The outcome of a fault.
struct Report {
    /// While it lasted, of each policy.
    during: [Seen; 3],
    /// From the start to the end.
    all: [Seen; 3],
    timeout: Duration,
}

impl Drill {
    async fn start(url: &str, user: &str) -> Self {
        Self::start_with(url, user, DEADLINE).await
    }

    async fn start_with(url: &str, user: &str, timeout: Duration) -> Self {
        let prefix = unique("fault");
        let store = RemoteStore::builder(url).prefix(&prefix).timeout(timeout);
        let store = store.pool_size(2).connect().await.expect("the server was started");
        let mut builder = Limiter::builder().store(store);
        for (name, way) in WAYS {
            let policy = Policy::new(name, Quota::per_hour(LIMIT.into()).unwrap()).unwrap();
            builder = builder.policy(policy.with_on_store_error(way));
        }
        Self { limiter: builder.build().await.unwrap(), user: user.to_owned(), prefix, timeout }
    }

    async fn ask(&self, policy: &str) -> Seen {
        let policy = self.limiter.policy(policy).unwrap();
        let subjects = policy.subjects_of(&Key::user(&self.user));
        let start = Instant::now();
        let answer = policy.check(&subjects, 1).await;
        let mut seen = Seen { longest: start.elapsed(), ..Seen::default() };
        match answer.map(|decision| decision.verdict()) {
            Ok(Verdict::Allowed) => seen.admitted = 1,
            Ok(_) => seen.limited = 1,
            // This process, or the line, was too slow: refused, and no fault of the store.
            Err(Error::Overloaded { .. }) => seen.limited = 1,
            Err(Error::Unavailable(_)) => seen.unavailable = 1,
            Err(error) => panic!("{error}"),
        }
        seen
    }

    async fn ask_often(&self, policy: &str, times: u32) -> Seen {
        let mut seen = Seen::default();
        for _ in 0..times {
            seen = seen.plus(self.ask(policy).await);
        }
        seen
    }

    /// Four tasks a policy, until the time is over.
    async fn ask_meanwhile(&self, time: Duration) -> [Seen; 3] {
        let end = Instant::now() + time;
        let tasks = WAYS.map(|(policy, _)| {
            let tasks = (0..4).map(|_| {
                let drill = self.clone();
                tokio::spawn(async move {
                    let mut seen = Seen::default();
                    while Instant::now() < end {
                        seen = seen.plus(drill.ask(policy).await);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    seen
                })
            });
            tasks.collect::<Vec<_>>()
        });
        let mut seen = [Seen::default(); 3];
        for (seen, tasks) in seen.iter_mut().zip(tasks) {
            for task in tasks {
                *seen = seen.plus(task.await.unwrap());
            }
        }
        seen
    }

    async fn until_healthy(&self, within: Duration) {
        let start = Instant::now();
        loop {
            self.ask("allow").await;
            if self.limiter.health() == Health::Healthy {
                return;
            }
            assert!(start.elapsed() < within, "{:?}", self.limiter.health());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Uses a quarter, lets the fault happen and pass, and uses the rest.
    async fn run(
        &self,
        fault: impl AsyncFnOnce(),
        mend: impl AsyncFnOnce(),
        patience: Duration,
    ) -> Report {
        let mut all = [Seen::default(); 3];
        for (seen, (policy, _)) in all.iter_mut().zip(WAYS) {
            *seen = self.ask_often(policy, LIMIT / 4).await;
            assert_eq!(seen.admitted, LIMIT / 4, "{policy}");
        }
        let (during, ()) = tokio::join!(self.ask_meanwhile(FAULT), fault());
        mend().await;
        self.until_healthy(patience).await;
        for ((seen, during), (policy, _)) in all.iter_mut().zip(during).zip(WAYS) {
            *seen = seen.plus(during).plus(self.ask_often(policy, 2 * LIMIT).await);
        }
        Report { during, all, timeout: self.timeout }
    }
}

impl Report {
    /// Prints a row of the table, and checks what holds of every fault.
    fn check(&self, fault: &str, database: &str) {
        let [local, allow, deny] = self.during;
        let over = |seen: Seen| i64::from(seen.admitted) - i64::from(LIMIT);
        let longest = [local, allow, deny].map(|seen| seen.longest).into_iter().max().unwrap();
        println!(
            "| {fault} | {database} | {} of {} | {} of {} | {} ms | {} | {} |",
            deny.unavailable,
            deny.admitted + deny.limited + deny.unavailable,
            local.limited,
            local.admitted + local.limited,
            longest.as_millis(),
            over(self.all[0]),
            over(self.all[2]),
        );
        assert!(longest < self.timeout + SLACK, "{fault}, {database}: {longest:?}");
        // A policy that counts locally admits one limit more at most, however
        // often it was asked; one that denies, none.
        assert!(over(self.all[0]) <= i64::from(LIMIT), "{fault}, {database}: {:?}", self.all[0]);
        assert_eq!(local.unavailable + allow.unavailable, 0, "{fault}, {database}");
    }

    /// Asserts that nothing was admitted beyond the limit where the store has kept what
    /// it knew.
    fn check_deny_is_exact(&self, fault: &str) {
        assert!(self.all[2].admitted <= LIMIT, "{fault}: {:?}", self.all[2]);
    }
}

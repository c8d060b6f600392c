//! State that several servers share: Redis and Valkey, PostgreSQL, MySQL and MariaDB, SQLite.

pub(super) mod apply_request;
pub(super) mod backend;
pub(super) mod batcher;
pub(super) mod builder;
pub(super) mod counter_states;
pub(super) mod key_hash;
pub(super) mod operation;
pub(super) mod probe_check;
pub(super) mod runtime_batchers;
#[cfg(feature = "_deciding")]
pub(super) mod script_params;
pub(super) mod state_rows;
pub(super) mod storage_key;
pub(super) mod store_thread;
mod url;

use std::{
    fmt,
    future::Future,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

pub use self::builder::RemoteStoreBuilder;
use self::{
    backend::{Backend, BanQuery, NamedItem, Reply, StoreRequest},
    key_hash::KeyHasher,
    operation::Operation,
    store_thread::StoreThread,
};
use super::{Answer, BanPage, Banned, KeyStates, ServerHealth, Store};
use crate::{
    ban::{Ban, BanChange},
    check::{Check, Item},
    decide::decide,
    decision::Decision,
    error::StoreError,
    events::{Observer, StoreObservers},
    policy::Policy,
    settlement::{Settled, SettledItem, settle},
    time::{Clock, Timestamp},
};

/// Keeps counters, strikes and bans in a database that servers share.
///
/// | URL | database | feature | a check takes |
/// |---|---|---|---|
/// | `redis://[user:password@]host:port/database`, `redis+unix:///path?db=0` | Redis or Valkey, by TCP or a unix socket | `redis` | one call of a script; under load a part of one |
/// | `redis-sentinel://[user:password@]host:port,host:port/service` | the same, watched by Sentinel | `redis` | one call of a script; under load a part of one |
/// | `redis-cluster://[user:password@]host:port,host:port` | Redis Cluster | `redis` | one call, and one more for each further client that the policies count |
/// | `postgres://user:password@host:port/database` | PostgreSQL 11 or newer | `postgres` | one statement; more for a refusal |
/// | `mysql://user:password@host:port/database` | MySQL 8 (by TLS, or with `mysql_native_password`), MariaDB 10.5 or newer | `mysql` | one script; more for a refusal |
/// | `sqlite://path` | a file of this host | `sqlite` | one transaction |
///
/// `rediss://` and the like, `sslmode=require` (PostgreSQL) and `ssl-mode=required` (MySQL)
/// ask for TLS, with the feature `tls`.
///
/// ```no_run
/// use limiter_core::{Limiter, RemoteStore};
///
/// # async fn example() -> Result<(), limiter_core::ConfigError> {
/// let store = RemoteStore::builder("redis://127.0.0.1:6379/0").prefix("shop").connect().await?;
/// let limiter = Limiter::builder().store(store);
/// # let _ = limiter;
/// # Ok(())
/// # }
/// ```
///
/// Under load checks are batched, with the answers that they would have had alone: what
/// comes while calls are under way goes by the next one. What finds nothing under way goes
/// at once, alone; there is no timer. Calls are made by a thread of the store's own, so that
/// a server whose threads are all busy reads its answers in time. For Redis and PostgreSQL
/// each Tokio runtime that checks often has a connection besides, which it uses in calm.
///
/// # What it promises
/// The same answers as every other store, field by field, by the clock of the
/// database's server (SQLite: of this host). A check, the strikes it makes and
/// the ban they bring are one atomic step, with one exception: on a Redis Cluster,
/// policies that count different clients are checked one after the other, since these live
/// on different servers. Units that were charged are given back if a later one refuses.
///
/// A request that is dropped while it waits leaves nothing half done: its check is charged,
/// or not. (One that has to be given back on a Cluster whose server fails stays charged.)
///
/// A client is readable in the database where its [name](crate::Key::name) is,
/// else an HMAC under [`key_secret`](RemoteStoreBuilder::key_secret).
///
/// # Redis
/// Version 5 or newer. State is written with a time to live, always, and goes by itself.
/// The server may lose what it had not yet written or replicated when it fails. One that
/// runs out of memory must not evict keys to go on (any `maxmemory-policy` but
/// `noeviction`): it would forget counters and bans before their time.
///
/// # SQL
/// [`connect`](RemoteStoreBuilder::connect) makes the tables that are missing,
/// unless [`migrate`](RemoteStoreBuilder::migrate) is off. After that the role needs
/// to SELECT, INSERT, UPDATE and DELETE. Expired rows are removed by a walk over the tables,
/// a bounded part at a time. PostgreSQL keeps counters and strikes in an unlogged table, which
/// a crash of the server empties; bans are logged. It works behind a pooler in transaction
/// mode.
#[derive(Clone)]
pub struct RemoteStore(Arc<Inner>);

struct Inner {
    backend: Arc<dyn Backend>,
    key_hasher: KeyHasher,
    timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
    observers: Arc<StoreObservers>,
    /// Ends with the store.
    _thread: StoreThread,
}

impl RemoteStore {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        builder: RemoteStoreBuilder,
        thread: StoreThread,
    ) -> Self {
        let RemoteStoreBuilder { secret, timeout, clock, observers, .. } = builder;
        let key_hasher = KeyHasher::new(&secret);
        Self(Arc::new(Inner { backend, key_hasher, timeout, clock, observers, _thread: thread }))
    }

    /// Sets up a store in the database of that URL.
    pub fn builder(url: &str) -> RemoteStoreBuilder {
        RemoteStoreBuilder::new(url)
    }

    /// Makes the tables that are missing; nothing in Redis.
    ///
    /// [`connect`](RemoteStoreBuilder::connect) does it by itself, unless
    /// [`migrate`](RemoteStoreBuilder::migrate) is off.
    ///
    /// # Errors
    /// If the role may not create them.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.0.backend.migrate().await
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteStore").field(&self.0.backend).finish()
    }
}

impl Store for RemoteStore {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        Answer::Pending(Box::pin(async move {
            let before = self.0.decide(&check).await?;
            let kept = check.items().zip(&before.kept);
            let priors: Vec<_> = kept.map(|(item, kept)| kept.prior(item)).collect();
            // The database has decided by the same rule, and has written.
            Ok(decide(&check, &priors, before.now).decision)
        }))
    }

    fn health(&self) -> Option<Vec<ServerHealth>> {
        let servers = self.0.backend.health();
        if servers.is_empty() { None } else { Some(servers) }
    }

    fn observe(&self, observer: Weak<dyn Observer>) {
        self.0.observers.add(observer);
    }

    fn settle<'a>(&'a self, items: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>> {
        Answer::Pending(Box::pin(async move {
            let before = self.0.settle(&items).await?;
            let kept = items.iter().zip(&before.kept);
            let outcomes = kept.map(|(item, kept)| settle(item, &kept.prior(item.item), kept.now));
            Ok(outcomes.map(|outcome| outcome.settled).collect())
        }))
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        if item.policy.ban().is_none() || !item.subject.is_bannable() {
            return Answer::ready(Ok(()));
        }
        Answer::Pending(Box::pin(
            async move { self.0.run(Operation::ChangeBan(change), item).await },
        ))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        Answer::Pending(Box::pin(async move { self.0.run(Operation::Reset, item).await }))
    }

    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>> {
        let client = self.0.key_hasher.client(&item.subject.key);
        let asked = self.0.backend.ban(item.policy.namespaces().bans, client, self.0.now());
        Answer::Pending(Box::pin(self.0.within(asked)))
    }

    fn look<'a>(&'a self, items: Vec<Item<'a>>) -> Answer<'a, KeyStates> {
        Answer::Pending(Box::pin(async move {
            let request = self.0.request(Operation::Look, items.iter().copied());
            let Reply { now, kept } = self.0.perform(request).await?;
            let states = items.iter().zip(&kept).map(|(item, kept)| kept.prior(*item)).collect();
            Ok(KeyStates::new(now, states))
        }))
    }

    fn bans<'a>(
        &'a self,
        policy: &'a Policy,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, BanPage> {
        let page = BanQuery {
            scope: policy.namespaces().bans,
            after: after.map(str::to_owned),
            limit: limit.max(1),
            now: self.0.now(),
        };
        Answer::Pending(Box::pin(async move {
            let listed = self.0.backend.bans(page).await?;
            let named = |(client, ban): (String, Ban)| {
                // A row that somebody else has written is no ban of ours.
                client.parse().ok().map(|key| Banned { key, ban })
            };
            let bans = listed.bans.into_iter().filter_map(named).collect();
            Ok(BanPage { bans, next: listed.next })
        }))
    }
}

impl Inner {
    /// Returns the prior state of a check. Outage usage is charged first, in a step of
    /// its own, within the same timeout.
    async fn decide(&self, check: &Check<'_>) -> Result<Reply, StoreError> {
        let (mut did_something, deadline) = (false, Instant::now() + self.timeout);
        let done =
            |did_something, error| if did_something { StoreError::new(error) } else { error };
        for (_, item, outage_usage) in check.outage_usage() {
            let request = self.request(Operation::Reconcile, std::iter::once(item));
            let outage_usage = vec![outage_usage.clone()];
            let reconciled = self.perform(StoreRequest { outage_usage, deadline, ..request }).await;
            reconciled.map_err(|error| done(did_something, error))?;
            did_something = true;
        }
        let request = self.request(Operation::Decide(check.cost()), check.items());
        self.perform(StoreRequest { deadline, ..request })
            .await
            .map_err(|error| done(did_something, error))
    }

    /// Returns the prior state of settled items.
    async fn settle(&self, items: &[SettledItem<'_>]) -> Result<Reply, StoreError> {
        let request = self.request(Operation::Settle, items.iter().map(|settled| settled.item));
        let settlements = items.iter().map(|settled| settled.settlement.clone()).collect();
        self.perform(StoreRequest { settlements, ..request }).await
    }

    async fn run(&self, operation: Operation, item: Item<'_>) -> Result<(), StoreError> {
        let request = self.request(operation, std::iter::once(item));
        self.perform(request).await.map(|_| ())
    }

    /// A request of this instant.
    fn request<'a>(
        &self,
        operation: Operation,
        items: impl Iterator<Item = Item<'a>>,
    ) -> StoreRequest {
        let items = items.map(|item| NamedItem {
            policy: item.policy.clone(),
            subject: item.subject.clone(),
            client: self.key_hasher.client(&item.subject.key),
        });
        StoreRequest::new(operation, items.collect(), self.now(), Instant::now() + self.timeout)
    }

    async fn perform(&self, request: StoreRequest) -> Result<Reply, StoreError> {
        let asked = request.items.len();
        if asked == 0 {
            return Ok(Reply { now: Timestamp::default(), kept: Vec::new() });
        }
        let before = self.backend.run(request).await?;
        if before.kept.len() != asked {
            return Err(StoreError::new("the database answered for another number of items"));
        }
        Ok(before)
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = |_| StoreError::new(format!("no answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, answer).await.map_err(late)?
    }
}

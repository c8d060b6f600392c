//! Redis and Valkey: state that several servers share.

mod arguments;

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    Client, ErrorKind, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use self::arguments::{Operation, arguments};
use super::{Answer, BanChange, Check, Item, Store, naming::Naming, wire};
use crate::{
    decide::{Prior, decide},
    decision::Decision,
    error::{ConfigError, StoreError},
    time::{Clock, Timestamp},
};

/// How long one call may take unless told otherwise.
const DEADLINE: Duration = Duration::from_millis(100);

/// How long a first connection may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps counters, strikes and bans in one Redis or Valkey server.
///
/// A check is one call of a script, whatever the number of quotas, and the
/// clock is the server's. All state of a client has the same hash tag.
///
/// ```no_run
/// use limiter_core::{Limiter, RedisStore};
///
/// # async fn example() -> Result<(), limiter_core::ConfigError> {
/// let store = RedisStore::builder("redis://127.0.0.1:6379/0").prefix("shop").connect().await?;
/// let limiter = Limiter::builder().store(store);
/// # let _ = limiter;
/// # Ok(())
/// # }
/// ```
///
/// # What it promises
/// State is written with a time to live, always, and goes by itself. The server
/// may lose what it had not yet written or replicated when it fails; a server
/// that evicts keys (`maxmemory-policy` of `allkeys-*`) forgets counters and
/// bans before their time: use `noeviction` or `volatile-ttl`.
///
/// A key is readable there where it is short and plain, such as an address,
/// else an HMAC under [`key_secret`](RedisStoreBuilder::key_secret).
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    connection: ConnectionManager,
    script: Script,
    naming: Naming,
    clock: Option<Arc<dyn Clock>>,
}

/// Sets up a [`RedisStore`].
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    prefix: String,
    secret: Vec<u8>,
    deadline: Duration,
    clock: Option<Arc<dyn Clock>>,
}

impl RedisStoreBuilder {
    /// What the names of all keys begin with. Defaults to `limiter`.
    pub fn prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// Under which secret keys are digested that may be secret, or are long or
    /// odd. All servers that share a store need the same. Defaults to none:
    /// then who reads the store can try out what a digest stands for.
    pub fn key_secret(self, secret: impl Into<Vec<u8>>) -> Self {
        Self { secret: secret.into(), ..self }
    }

    /// How long one call may take. Defaults to 100 ms.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Takes the time from `clock`. Defaults to the server's.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Connects, and makes the store.
    ///
    /// # Errors
    /// If the URL is none of a Redis server, or the server does not answer.
    pub async fn connect(self) -> Result<RedisStore, ConfigError> {
        let client = Client::open(self.url).map_err(|error| fault(&error))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(self.deadline));
        let connection = ConnectionManager::new_with_config(client, config)
            .await
            .map_err(|error| fault(&error))?;
        Ok(RedisStore(Arc::new(Shared {
            connection,
            script: Script::new(include_str!("redis/decide.lua")),
            naming: Naming::new(&self.prefix, &self.secret),
            clock: self.clock,
        })))
    }
}

/// What went wrong, without the URL: it may hold a password.
fn fault(error: &RedisError) -> ConfigError {
    let reason = match error.kind() {
        ErrorKind::InvalidClientConfig => "the URL is none of a Redis server; \
             write redis://[user:password@]host:port/database"
            .to_owned(),
        kind => format!("the Redis server cannot be used: {kind:?}; is it running there?"),
    };
    ConfigError::at("store", reason)
}

impl RedisStore {
    /// Sets up a store in the server of that URL:
    /// `redis://[user:password@]host:port/database`.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder {
            url: url.to_owned(),
            prefix: "limiter".to_owned(),
            secret: Vec::new(),
            deadline: DEADLINE,
            clock: None,
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("naming", &self.0.naming).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        Answer::Pending(Box::pin(async move {
            let items: Vec<_> = check.items().collect();
            let (now, kept) = self.0.run(Operation::Decide(check.cost()), &items).await?;
            let priors: Vec<_> =
                items.iter().zip(&kept).map(|(item, kept)| kept.prior(*item, now)).collect();
            // The script has decided by the same rule, and has written.
            Ok(decide(&check, &priors, now).decision)
        }))
    }

    fn strike<'a>(&'a self, offenders: Vec<Item<'a>>) -> Answer<'a, Vec<Option<Timestamp>>> {
        if offenders.is_empty() {
            return Answer::ready(Ok(Vec::new()));
        }
        Answer::Pending(Box::pin(async move {
            let (now, kept) = self.0.run(Operation::Strike, &offenders).await?;
            let strike = |(item, kept): (&Item<'_>, &Kept)| {
                let before = kept.prior(*item, now).offender?;
                before.strike(item.policy.ban()?, now).new_ban(&before, now)
            };
            Ok(offenders.iter().zip(&kept).map(strike).collect())
        }))
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        if item.policy.ban().is_none() || !item.subject.bannable {
            return Answer::ready(Ok(()));
        }
        Answer::Pending(Box::pin(async move {
            self.0.run(Operation::ChangeBan(change), &[item]).await.map(|_| ())
        }))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        Answer::Pending(Box::pin(async move {
            let [counter, ..] = self.0.names(item);
            let mut connection = self.0.connection.clone();
            redis::cmd("DEL")
                .arg(counter)
                .query_async(&mut connection)
                .await
                .map_err(StoreError::new)
        }))
    }
}

impl Shared {
    /// Runs the script; returns its instant, and what was kept before.
    async fn run(
        &self,
        operation: Operation,
        items: &[Item<'_>],
    ) -> Result<(Timestamp, Vec<Kept>), StoreError> {
        let mut invocation = self.script.prepare_invoke();
        for item in items {
            for name in self.names(*item) {
                invocation.key(name);
            }
        }
        let now = self.clock.as_ref().map(|clock| clock.now());
        for argument in arguments(operation, now, items) {
            invocation.arg(argument);
        }
        let mut connection = self.connection.clone();
        let answer: Vec<String> =
            invocation.invoke_async(&mut connection).await.map_err(StoreError::new)?;
        let mut answer = answer.into_iter();
        let now = answer.next().and_then(|now| now.parse().ok());
        let now = now.ok_or_else(|| StoreError::new("the script answered without the time"))?;
        let kept: Vec<_> = std::iter::from_fn(|| {
            let counter = answer.next()?;
            Some(Kept { counter, strikes: answer.next()?, ban: answer.next()? })
        })
        .collect();
        if kept.len() != items.len() {
            return Err(StoreError::new("the script answered for another number of items"));
        }
        Ok((Timestamp::from_micros(now), kept))
    }

    fn names(&self, item: Item<'_>) -> [String; 3] {
        self.naming.names(&self.naming.client(&item.subject.key), item.policy.scope())
    }
}

/// What the server kept of an item; empty where it kept nothing.
struct Kept {
    counter: String,
    strikes: String,
    ban: String,
}

impl Kept {
    fn prior(&self, item: Item<'_>, now: Timestamp) -> Prior {
        let (strikes, ban) = (wire::state(&self.strikes), wire::ban(&self.ban));
        Prior::new(item, wire::states(&self.counter), strikes, ban, now)
    }
}

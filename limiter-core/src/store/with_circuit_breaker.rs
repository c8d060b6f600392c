//! A store behind a circuit breaker: any [`Store`] that has none of its own.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_core::future::BoxFuture;

use super::{
    Answer, BanPage, KeyStates, ServerHealth, Store,
    circuit_breaker::{BreakerSettings, CircuitBreaker},
};
use crate::{
    ban::{Ban, BanChange},
    check::{Check, Item},
    decision::Decision,
    error::StoreError,
    events::{Observer, StoreObservers},
    policy::Policy,
    settlement::{Settled, SettledItem},
};

/// An answer that takes longer is a failure, and not waited for.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Calls the store only while it answers.
#[derive(Debug)]
pub(crate) struct GuardedStore {
    store: Arc<dyn Store>,
    breaker: Arc<CircuitBreaker>,
    observers: Arc<StoreObservers>,
    /// Kept for the prober, which ends with it.
    #[cfg(feature = "_shared")]
    _probe: Option<Arc<dyn super::prober::Probe>>,
}

impl GuardedStore {
    /// Puts a breaker in front of a store that has none. In a Tokio runtime, a task
    /// probes the store while the breaker is open.
    pub(crate) fn guard(store: Arc<dyn Store>) -> Arc<dyn Store> {
        #[cfg(feature = "memory")]
        if store.as_memory().is_some() {
            return store;
        }
        if store.health().is_some() {
            return store;
        }
        let settings = BreakerSettings::new(TIMEOUT);
        let breaker = CircuitBreaker::new("store", &settings);
        Arc::new(Self {
            #[cfg(feature = "_shared")]
            _probe: StoreProbe::spawn(&store, &breaker),
            store,
            breaker,
            observers: settings.observers,
        })
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&'a dyn Store) -> Answer<'a, T>,
    ) -> Answer<'a, T> {
        if let Err(error) = self.breaker.check() {
            return Answer::ready(Err(error));
        }
        let guard = self.breaker.start_call();
        let learn = move |answer: Result<T, StoreError>| {
            match &answer {
                Ok(_) => guard.succeeded(),
                Err(error) => {
                    guard.failed(error);
                }
            }
            answer
        };
        match call(&*self.store) {
            Answer::Ready(answer) => Answer::Ready(answer.map(learn)),
            Answer::Pending(future) => {
                Answer::Pending(Box::pin(async { learn(within_timeout(future).await) }))
            }
        }
    }
}

/// Waits for a call, up to the timeout: a store that never answers holds nobody up.
/// Without a Tokio runtime nothing keeps time, and the store has to.
async fn within_timeout<T>(call: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
    #[cfg(feature = "_shared")]
    if tokio::runtime::Handle::try_current().is_ok() {
        let answer = tokio::time::timeout(TIMEOUT, call).await;
        return answer
            .unwrap_or_else(|_| Err(StoreError::new(format!("no answer within {TIMEOUT:?}"))));
    }
    call.await
}

impl Store for GuardedStore {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        self.call(move |store| store.decide(check))
    }

    fn settle<'a>(&'a self, items: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>> {
        self.call(move |store| store.settle(items))
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        self.call(move |store| store.change_ban(item, change))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        self.call(move |store| store.reset(item))
    }

    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>> {
        self.call(move |store| store.ban(item))
    }

    fn look<'a>(&'a self, items: Vec<Item<'a>>) -> Answer<'a, KeyStates> {
        self.call(move |store| store.look(items))
    }

    fn bans<'a>(
        &'a self,
        policy: &'a Policy,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, BanPage> {
        // A page that was asked for wrongly is no failure of the store.
        self.store.bans(policy, after, limit)
    }

    fn health(&self) -> Option<Vec<ServerHealth>> {
        Some(vec![self.breaker.health()])
    }

    fn observe(&self, observer: Weak<dyn Observer>) {
        self.observers.add(observer);
    }
}

#[cfg(feature = "_shared")]
use probe::StoreProbe;

#[cfg(feature = "_shared")]
mod probe {
    use std::{
        fmt,
        hash::{BuildHasher, RandomState},
        sync::Arc,
    };

    use futures_core::future::BoxFuture;

    use super::{CircuitBreaker, Store, StoreError};
    use crate::{
        ban::BanChange,
        check::{Check, Item, Subject},
        decision::Verdict,
        key::Key,
        policy::Policy,
        store::prober::{Probe, spawn_prober},
    };

    /// Probes a store by a check of a policy and a client that nobody else has.
    pub(super) struct StoreProbe {
        store: Arc<dyn Store>,
        policies: [Policy; 1],
        subjects: [Subject; 1],
    }

    impl StoreProbe {
        /// Starts the prober, if there is a runtime.
        pub(super) fn spawn(
            store: &Arc<dyn Store>,
            breaker: &Arc<CircuitBreaker>,
        ) -> Option<Arc<dyn Probe>> {
            tokio::runtime::Handle::try_current().ok()?;
            let name = format!("{:016x}", RandomState::new().hash_one(0));
            let key = Key::custom("limiter-probe", &name);
            let probe: Arc<dyn Probe> = Arc::new(Self {
                store: Arc::clone(store),
                policies: [Policy::probe()],
                subjects: [Subject::new(key)],
            });
            spawn_prober(breaker, &probe);
            Some(probe)
        }

        /// Charges, refuses and bans, and removes it all.
        async fn check_and_remove(&self) -> Result<(), StoreError> {
            self.remove().await?;
            let mut verdicts = Vec::with_capacity(2);
            for _ in 0..2 {
                let check = Check::new(&self.policies, &self.subjects, 1);
                verdicts.push(self.store.decide(check).await?.verdict());
            }
            self.remove().await?;
            if verdicts == [Verdict::Allowed, Verdict::Banned] {
                return Ok(());
            }
            Err(StoreError::new("the store does not keep what it is sent"))
        }

        async fn remove(&self) -> Result<(), StoreError> {
            let item = Item { policy: &self.policies[0], subject: &self.subjects[0] };
            self.store.change_ban(item, BanChange::Forgive).await?;
            self.store.reset(item).await
        }
    }

    impl Probe for StoreProbe {
        fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
            Box::pin(self.check_and_remove())
        }

        fn reconnect(&self) -> BoxFuture<'_, ()> {
            // The store sees to its connection itself.
            Box::pin(async {})
        }
    }

    impl fmt::Debug for dyn Probe {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Probe")
        }
    }
}

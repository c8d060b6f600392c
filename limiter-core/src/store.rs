//! Where state lives: the [`Store`] trait and what passes through it.

mod circuit_breaker;
#[cfg(feature = "_shared")]
mod connect_remote;
pub(crate) mod database_kind;
mod health;
mod look;
#[cfg(feature = "memory")]
mod memory;
pub(crate) mod memory_capacity;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "_shared")]
mod prober;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "_shared")]
mod remote;
#[cfg(feature = "_shared")]
mod runtime_lag;
#[cfg(feature = "_sql")]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
pub(crate) mod store_choice;
pub(crate) mod with_circuit_breaker;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll},
};

use futures_core::future::BoxFuture;
use serde::Serialize;

pub use self::health::{Health, ServerHealth};
pub use self::look::KeyStates;
#[cfg(feature = "memory")]
pub(crate) use self::memory::{
    BucketAdmission, BucketCheck, BucketRefusal, Declined, MAX_PREFETCH, MissingSlot, Undecided,
};
#[cfg(feature = "memory")]
pub use self::memory::{MemoryStore, MemoryStoreBuilder};
#[cfg(feature = "_shared")]
pub use self::remote::{RemoteStore, RemoteStoreBuilder};
use crate::{
    ban::{Ban, BanChange},
    check::{Check, Item},
    decision::Decision,
    error::StoreError,
    events::Observer,
    key::Key,
    policy::Policy,
    settlement::{Settled, SettledItem},
};

/// A key that is banned.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Banned {
    /// The key. Where a shared store keeps a digest alone, this is the digest:
    /// it stands for the key in all that is asked of that store.
    pub key: Key,
    /// The ban.
    #[serde(flatten)]
    pub ban: Ban,
}

impl Banned {
    /// Returns the ban of a key.
    #[must_use]
    pub const fn new(key: Key, ban: Ban) -> Self {
        Self { key, ban }
    }
}

/// A part of all bans in force.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BanPage {
    /// The bans.
    pub bans: Vec<Banned>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<String>,
}

impl BanPage {
    /// Returns a page, and where the next one begins.
    #[must_use]
    pub const fn new(bans: Vec<Banned>, next: Option<String>) -> Self {
        Self { bans, next }
    }
}

/// Decides checks, each in one atomic step, and keeps what they leave.
///
/// An `Arc<dyn Store>` is what a [`Limiter`](crate::Limiter) holds.
///
/// # Contract
/// - **Atomic.** A check sees and changes its items at one instant: of many
///   concurrent requests for n units exactly n are charged, and a refusal by
///   one item charges none. Check, strike and ban are one step.
/// - **[Outage usage](Check::outage_usage) is charged first**, whatever then becomes of
///   the request, and at most once. It may be a step of its own before the check.
/// - **The pure functions decide.** Whatever a store computes elsewhere, its
///   answers are those of this crate's functions, field by field; the
///   [`conformance`](crate::conformance) suite (feature `conformance`) says so
///   case by case.
/// - **One clock.** A store asks for the time once a check, where the state
///   lives, and can be given a [`Clock`](crate::Clock) instead. Time that steps
///   back must not panic, and not lock a key out for longer than two windows.
/// - **Expiry is garbage collection.** Whether state is in force follows from
///   its numbers and the present instant, never from whether it is still there.
/// - **In time.** A call that takes longer than a second is given up, and counts as failed,
///   where a feature of a remote store is enabled and the call is polled by a Tokio runtime.
/// - **Bounded.** State that is not in force goes by itself.
/// - **Clones share state.**
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Decides a check and charges it, if it is admitted.
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision>;

    /// Settles what a request came to, by [`settle`](crate::settlement::settle) and all
    /// items in one step: units are given back or charged, offenders are struck.
    /// Answers for each item. On a cluster each client's items may be a step.
    ///
    /// No two items share counters, and no two that strike share strikes.
    fn settle<'a>(&'a self, items: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>>;

    /// Changes a ban by hand. Nothing happens where the policy has no ban rule or
    /// the subject may not be banned.
    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()>;

    /// Forgets what the subject has used of the policy's quotas; bans stay.
    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()>;

    /// The ban on the subject under the policy or its group, if one is in
    /// force.
    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>>;

    /// Returns everything that is kept of the items, as of one instant, without a
    /// write.
    ///
    /// The default is for stores that do not implement it: it has no strikes, and each
    /// item is read by itself.
    fn look<'a>(&'a self, items: Vec<Item<'a>>) -> Answer<'a, KeyStates> {
        Answer::Pending(Box::pin(look::look_by_checks(self, items)))
    }

    /// Bans in force under the policy or its group, about `limit` of them from
    /// where the page before ended. A ban that is in force all the while is in
    /// one page at least.
    fn bans<'a>(
        &'a self,
        policy: &'a Policy,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, BanPage>;

    /// The health of each server that the store calls, where it calls them through
    /// circuit breakers of its own. Where it does not, the limiter puts one in front of
    /// it.
    fn health(&self) -> Option<Vec<ServerHealth>> {
        None
    }

    /// Calls the observer from now on when one of the servers fails or answers again, as
    /// long as the limiter is there that observes: for a store that has circuit breakers of
    /// its own.
    fn observe(&self, observer: Weak<dyn Observer>) {
        let _ = observer;
    }

    /// The store itself, where it is this process's memory: that has a shorter way
    /// for the commonest checks.
    #[cfg(feature = "memory")]
    #[doc(hidden)]
    fn as_memory(&self) -> Option<&MemoryStore> {
        None
    }
}

/// An answer that is at hand, or one to wait for.
///
/// It is a future, so that `.await` serves both; one at hand was never
/// allocated.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub enum Answer<'a, T, E = StoreError> {
    /// At hand; `None` once it has been taken.
    Ready(Option<Result<T, E>>),
    /// To wait for.
    Pending(BoxFuture<'a, Result<T, E>>),
}

impl<T, E> Answer<'_, T, E> {
    /// An answer at hand.
    pub const fn ready(result: Result<T, E>) -> Self {
        Self::Ready(Some(result))
    }
}

impl<T, E> fmt::Debug for Answer<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Pending(_) => "Pending",
        })
    }
}

impl<T: Unpin, E: Unpin> Future for Answer<'_, T, E> {
    type Output = Result<T, E>;

    /// # Panics
    /// If it is polled again after it was ready, as futures may.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(result) => Poll::Ready(result.take().expect("polled after it was ready")),
            Self::Pending(future) => future.as_mut().poll(context),
        }
    }
}

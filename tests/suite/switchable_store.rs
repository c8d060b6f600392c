//! A store that answers like a remote one, and that can be switched off.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use limiter_core::{
    Answer, Ban, BanChange, BanPage, Check, Decision, Item, KeyStates, MemoryStore, Policy, Store,
    StoreError,
    settlement::{Settled, SettledItem},
};

/// A store in memory that can be switched off, and counts how often it is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct SwitchableStore {
    pub(crate) store: MemoryStore,
    pub(crate) off: Arc<AtomicBool>,
    /// True if calls are applied and their answers are lost.
    pub(crate) mute: Arc<AtomicBool>,
    /// True if calls never end.
    pub(crate) hangs: Arc<AtomicBool>,
    /// How often it is polled in vain, before it does anything and afterwards.
    pub(crate) slowness: u32,
    pub(crate) asked: Arc<AtomicU64>,
    pub(crate) struck: Arc<AtomicU64>,
}

impl SwitchableStore {
    fn answer<'a, T: Send + Unpin + 'a>(
        &'a self,
        ask: impl FnOnce() -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let off = self.off.load(Ordering::Relaxed);
        Answer::Pending(Box::pin(async move {
            self.dawdle().await;
            if self.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if off {
                return Err(StoreError::not_applied("switched off"));
            }
            let answer = ask().await;
            self.dawdle().await;
            match self.mute.load(Ordering::Relaxed) {
                true => Err(StoreError::new("the answer was lost")),
                false => answer,
            }
        }))
    }

    async fn dawdle(&self) {
        for _ in 0..self.slowness {
            tokio::task::yield_now().await;
        }
    }
}

impl Store for SwitchableStore {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        self.answer(move || self.store.decide(check))
    }

    fn settle<'a>(&'a self, items: Vec<SettledItem<'a>>) -> Answer<'a, Vec<Settled>> {
        self.answer(move || {
            let struck = items.iter().filter(|item| item.settlement.strikes).count();
            self.struck.fetch_add(struck as u64, Ordering::Relaxed);
            self.store.settle(items)
        })
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        self.answer(move || self.store.change_ban(item, change))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        self.answer(move || self.store.reset(item))
    }

    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>> {
        self.answer(move || self.store.ban(item))
    }

    fn look<'a>(&'a self, items: Vec<Item<'a>>) -> Answer<'a, KeyStates> {
        self.answer(move || self.store.look(items))
    }

    fn bans<'a>(
        &'a self,
        policy: &'a Policy,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, BanPage> {
        self.answer(move || self.store.bans(policy, after, limit))
    }
}

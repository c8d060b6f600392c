//! A store that answers like a remote one, and that can be switched off.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use limiter_core::{
    Answer, Ban, BanChange, BanPage, Check, Decision, Item, MemoryStore, Policy, Store, StoreError,
    Timestamp,
};

/// A store in memory that can be switched off, and counts how often it is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switched {
    pub(crate) store: MemoryStore,
    pub(crate) off: Arc<AtomicBool>,
    /// Whether it does as asked, and its answer is lost.
    pub(crate) mute: Arc<AtomicBool>,
    pub(crate) asked: Arc<AtomicU64>,
}

impl Switched {
    fn answer<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let off = [&self.off, &self.mute].iter().any(|switch| switch.load(Ordering::Relaxed));
        Answer::Pending(Box::pin(async move {
            match answer {
                _ if off => Err(StoreError::new("switched off")),
                Answer::Ready(answer) => answer.expect("it was not taken"),
                Answer::Pending(answer) => answer.await,
            }
        }))
    }
}

impl Store for Switched {
    fn decide<'a>(&'a self, check: Check<'a>) -> Answer<'a, Decision> {
        match self.off.load(Ordering::Relaxed) {
            true => self.answer(Answer::ready(Err(StoreError::new("switched off")))),
            false => self.answer(self.store.decide(check)),
        }
    }

    fn strike<'a>(&'a self, offenders: Vec<Item<'a>>) -> Answer<'a, Vec<Option<Timestamp>>> {
        self.answer(self.store.strike(offenders))
    }

    fn change_ban<'a>(&'a self, item: Item<'a>, change: BanChange) -> Answer<'a, ()> {
        self.answer(self.store.change_ban(item, change))
    }

    fn reset<'a>(&'a self, item: Item<'a>) -> Answer<'a, ()> {
        self.answer(self.store.reset(item))
    }

    fn ban<'a>(&'a self, item: Item<'a>) -> Answer<'a, Option<Ban>> {
        self.answer(self.store.ban(item))
    }

    fn bans<'a>(
        &'a self,
        policy: &'a Policy,
        after: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, BanPage> {
        self.answer(self.store.bans(policy, after, limit))
    }
}
